"""Mutated files through the command line's own entry: a few cases here, hours by `make fuzz`."""
