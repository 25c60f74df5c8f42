"""Data: where rows come from, how they are split, scaled and ordered."""
