"""The page: what is written is what is served."""
