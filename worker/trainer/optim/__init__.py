"""Optimizers that torch lacks, in plain formulas, and what optimizers of other packages need."""
