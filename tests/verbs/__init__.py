"""Whole verbs through the API."""
