"""Adapters: what was trained beside a checkpoint, and the checkpoint with it merged in."""
