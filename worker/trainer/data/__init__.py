"""Datasets: loading, splitting, scaling and batching of rows."""
