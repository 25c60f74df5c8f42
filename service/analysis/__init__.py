"""Analysis: pure functions over arrays; no rows, no requests, no clocks."""
