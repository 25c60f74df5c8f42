"""Probes that compute on a copy of the model, on a cadence or at a kept checkpoint."""
