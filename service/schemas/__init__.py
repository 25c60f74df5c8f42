"""Requests and answers, pydantic only: the API answers with them, the client reads with them."""
