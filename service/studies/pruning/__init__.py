"""The rules of the pruners: from the trials so far to a decision for each that waits."""
