"""The type of each tensor, against llama-quantize's own choice."""
