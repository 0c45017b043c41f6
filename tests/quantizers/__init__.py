"""Every ggml type against blocks that ggml made."""
