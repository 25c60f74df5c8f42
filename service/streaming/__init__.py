"""Following runs and projects live: positions, messages, one broadcaster for all readers."""
