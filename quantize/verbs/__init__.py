"""One file for each thing that the tool does. `quantize.api` is the face in front of them."""
