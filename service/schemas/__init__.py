"""Requests and responses, pydantic only: the API writes them, the client reads them."""
