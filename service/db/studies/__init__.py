"""SQL about studies and their trials."""
