"""How results look to people. A view yields what Rich prints; it computes nothing that matters."""
