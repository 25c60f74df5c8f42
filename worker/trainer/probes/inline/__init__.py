"""Probes inside the training loop, which read what a step computes anyway."""
