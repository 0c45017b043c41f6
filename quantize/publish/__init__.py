"""What tells others about the files: the manifest."""
