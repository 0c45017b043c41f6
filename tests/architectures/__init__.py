"""Families: key-values, names and bytes against files that llama.cpp made."""
