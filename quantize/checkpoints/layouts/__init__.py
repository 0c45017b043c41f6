"""Layouts that several encodings share: what is stored where, and how it becomes rows."""
