"""Hugging Face checkpoints to quantized GGUF files, with llama.cpp's bytes."""

__version__ = "0.1.0"
