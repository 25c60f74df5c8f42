"""Where checkpoints are kept: a folder that all share, or a bucket. Who asks `places` need not know which."""
