"""What an API process holds and does beside answering: readiness, background threads, caches, limits."""
