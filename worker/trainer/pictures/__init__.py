"""Pictures of rows, for a person to look at."""
