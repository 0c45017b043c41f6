"""Modelfiles, templates proven by Go's own engine, the doctor, a stand-in for Ollama's server."""
