"""Encodings and adapters: decoded weights against the libraries that wrote them."""
