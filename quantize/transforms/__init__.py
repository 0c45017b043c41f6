"""How source tensors become GGUF tensors: rows moved, values changed, shapes turned."""
