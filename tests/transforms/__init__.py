"""Transforms against plain NumPy, whole and by ranges of rows."""
