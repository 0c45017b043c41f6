"""What tells others about the files: the manifest, the model card, and the upload to the Hub."""
