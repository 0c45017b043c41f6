"""The families, one file each; `architectures/__init__.py` lists what config.json calls them."""
