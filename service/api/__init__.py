"""The HTTP API: everything that knows FastAPI."""
