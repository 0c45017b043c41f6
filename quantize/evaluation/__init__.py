"""How well a GGUF file predicts a text, asked of llama.cpp itself.

engine.py computes with a model, llama.py is how it calls llama.cpp, likelihood.py is the
arithmetic on what comes out.
"""
