"""Whether a GGUF file and its Modelfile will work in Ollama, and what to do about it."""
