"""Random Fourier features before a small network: a plug-in."""
