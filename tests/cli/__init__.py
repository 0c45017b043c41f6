"""The command line as a person or a program sees it."""
