"""Checks across fields: problems refuse a spec, warnings do not."""
