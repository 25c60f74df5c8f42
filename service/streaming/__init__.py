"""Live streams of runs and projects: positions, messages, one broadcaster for all readers."""
