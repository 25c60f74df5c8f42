"""The implementation of probes: inline probes run in the loop, on-demand probes on a copy of the model."""
