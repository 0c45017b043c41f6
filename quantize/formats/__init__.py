"""File formats: what safetensors and GGUF headers say, and the bytes of the headers we write."""
