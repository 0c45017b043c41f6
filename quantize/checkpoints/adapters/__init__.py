"""Adapters: what was trained for a checkpoint, and the checkpoint with it merged in."""
