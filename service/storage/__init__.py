"""Storage of checkpoints and uploads: shared folders or a bucket; `factory` opens those that the settings name."""
