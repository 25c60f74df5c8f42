"""Where checkpoints are kept: a folder that all share, or a bucket. Only `places` knows which; nobody else asks."""
