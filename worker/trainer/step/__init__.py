"""The stages of a training step: gradients, clipping, precision, learning rates, weight averaging, stop rules."""
