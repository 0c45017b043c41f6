"""What is decided before a weight is read: edits, splits, importance matrices, overviews."""
