"""What goes beside the file: manifest, model card, upload."""
