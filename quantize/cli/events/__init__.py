"""What --json prints: one object a line, as typed dictionaries."""
