"""The API, and everything that both sides agree on; never imports torch."""
