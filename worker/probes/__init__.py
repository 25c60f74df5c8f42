"""Instruments that look at a training from inside."""
