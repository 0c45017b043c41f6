"""Folders, the sink, and the Hub over a loopback server with faults."""
