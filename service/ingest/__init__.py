"""Reading uploaded files: which format one is, its rows in batches of bounded memory, and a report on its columns.

Both sides read through this package: the API to report, a worker to train. Nothing here executes what it reads.
"""
