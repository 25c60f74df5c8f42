"""Checkpoint storage: a shared folder or a bucket; `factory` opens the one that the settings name."""
