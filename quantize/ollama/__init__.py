"""Everything Ollama: what it reads, what we write for it, how we talk to it."""
