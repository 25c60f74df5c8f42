"""Studies: asking for points, deciding at rungs, judging duels; everything here is a function of the trials so far."""
