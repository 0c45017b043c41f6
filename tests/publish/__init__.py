"""The manifest, the card, and what is pushed to the Hub."""
