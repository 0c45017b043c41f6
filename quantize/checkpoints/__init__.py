"""A Hugging Face checkpoint, or a GGUF file, seen through its headers."""
