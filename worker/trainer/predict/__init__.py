"""Predictions: of a few rows on request, and of the validation part at the end of a run."""
