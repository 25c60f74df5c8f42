"""Curves as they leave the house: JSON, raw arrays, Arrow, Parquet, CSV, NDJSON."""
