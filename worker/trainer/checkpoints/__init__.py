"""Writing, reading and forking the complete state of a training."""
