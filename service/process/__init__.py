"""What an API process holds and does besides serving requests: readiness, background threads, caches, limits."""
