"""Optimizers that torch lacks, and adapters for optimizers of other packages."""
