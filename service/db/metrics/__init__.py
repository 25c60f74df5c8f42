"""SQL about recorded values: the codec of chunks, rollups, reading and writing."""
