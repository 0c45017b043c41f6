"""Where bytes come from and go to. Nothing here knows what a tensor is."""
