"""Requests and answers about studies."""
