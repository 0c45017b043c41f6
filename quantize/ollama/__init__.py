"""Everything Ollama: what it reads, and what is written for it."""
