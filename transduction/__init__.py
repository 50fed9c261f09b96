"""Functions from strings to answers: how far beyond its training lengths a sequence model computes them."""
