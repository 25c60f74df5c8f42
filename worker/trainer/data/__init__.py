"""Rows: where they come from, how they are split and scaled, in which order they are trained on."""
