"""Probes inside the loop: they read what a step computes anyway."""
