"""The attempts that one trainer makes at the same time, one or those of a pack, from their claim to their ends."""
