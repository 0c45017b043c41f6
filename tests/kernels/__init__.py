"""Kernels, and their compiled twins."""
