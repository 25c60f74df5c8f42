"""What makes one update: gradients, clipping, precision, rates, averaging, stop rules."""
