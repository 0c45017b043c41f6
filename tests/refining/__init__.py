"""What errors cost, and files that are made with it."""
