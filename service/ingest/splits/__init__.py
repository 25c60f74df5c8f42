"""Splits of a table by one of its columns: the same code counts for the server and selects for a worker."""
