"""Files in llama.cpp itself."""
