"""Checks across fields: each yields problems, which refuse a spec, or warnings, which do not."""
