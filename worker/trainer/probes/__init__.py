"""The instruments of service.spec.probes at work: watchers in the loop, lookers on a twin of the model."""
