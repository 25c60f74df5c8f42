"""The probes of service.spec.probes at work: inline probes in the loop, on-demand probes on a copy of the model."""
