"""Optimizers that torch does not have, each in plain formulas, and what optimizers of other packages need."""
