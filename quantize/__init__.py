"""Hugging Face checkpoints to quantized GGUF files, with llama.cpp's bytes."""

from __future__ import annotations

__version__ = "0.1.0"
