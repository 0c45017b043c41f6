"""From what a person typed to opened files: folders, GGUF files, the Hub, adapters."""
