"""The commands, one file each: parse, call a verb, show what it answers."""
