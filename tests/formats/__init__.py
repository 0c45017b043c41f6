"""File formats, read from files that nobody vouches for."""
