"""Everything about Ollama: templates, Modelfiles, its server, and a doctor for all of them."""
