"""Ollama's server: models made there, and what it says of them."""
