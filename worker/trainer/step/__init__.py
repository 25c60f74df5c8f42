"""The parts of one update: gradients, clipping, precision, learning rates, weight averaging, stop rules."""
