"""The type of measured values, by the name of their series."""

from torch import Tensor

Metrics = dict[str, float | Tensor]  # tensors stay on the device, so that nothing waits for them
