"""Modelfiles: what they say about a GGUF file, written and read."""
