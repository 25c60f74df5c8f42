"""Packs: several runs that differ only in values, trained by one trainer at the same time."""
