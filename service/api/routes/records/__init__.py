"""Routes of what a run leaves beside its curves."""
