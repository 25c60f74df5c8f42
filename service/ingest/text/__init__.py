"""Texts as tokens: one tokenizer and one way of cutting for the server, which counts, and for a worker."""
