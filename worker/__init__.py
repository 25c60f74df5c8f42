"""Celery and torch: a worker claims runs and supervises trainers; a trainer trains."""
