"""`saddle sweep`."""
