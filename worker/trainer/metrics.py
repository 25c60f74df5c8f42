"""The type of what a training measures: values by the name of their series."""

from torch import Tensor

Metrics = dict[str, float | Tensor]  # a tensor is still on the device, so that nobody waits for it
