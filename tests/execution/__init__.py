"""Runs: the same bytes with any workers, in bounded memory, after any interruption."""
