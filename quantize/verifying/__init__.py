"""Whether a GGUF file is whole, and whether its tensors are what their source gives."""
