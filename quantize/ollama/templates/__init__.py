"""Chat templates in Ollama's language, proven to write the same prompts as the Jinja template."""
