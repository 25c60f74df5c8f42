"""Batch normalisation over the rows of all ranks, so that a batch has the statistics that it has on one device.

torch's SyncBatchNorm needs GPUs. This one is made of plain operations and a sum over the ranks that autograd
differentiates, and it is the same on CPUs. Mean and variance are summed one after the other, so the variance loses no
digits. Outside of `over_ranks`, in evaluations and probes, a layer is torch's own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from service.errors import RunFailure
from worker.trainer.ranks.group import Group

_active: list[Group] = []  # at most one


@contextmanager
def over_ranks(group: Group) -> Iterator[None]:
    """Normalise over the rows of all ranks inside, in forward and backward passes."""
    _active.append(group)
    try:
        yield
    finally:
        _active.pop()


class Total(torch.autograd.Function):
    """The sum over the ranks; its gradient is the sum of the ranks' gradients."""

    @staticmethod
    def forward(context: Any, values: Tensor, group: Group) -> Tensor:
        """values (n,) of this rank -> (n,), the same on all ranks."""
        context.group, summed = group, values.clone()
        group.add_up([summed])
        return summed

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return the gradient of the ranks' losses together."""
        summed = gradient.clone()
        context.group.add_up([summed])
        return summed, None


def total(values: Tensor) -> Tensor:
    """Return the sum over the ranks of the group that normalises."""
    found: Tensor = Total.apply(values, _active[-1])  # type: ignore[no-untyped-call]
    return found


class OverRanks(_BatchNorm):
    """A batch normalisation of torch, over all ranks within `over_ranks`."""

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, ...) -> the same shape; a rank without rows takes part with B = 0."""
        if not _active or not self.training:
            return super().forward(x)
        if x.dim() < 2:
            raise ValueError(f"rows of shape {tuple(x.shape[1:])} have no channels to normalise")
        others, columns = [d for d in range(x.dim()) if d != 1], [-1 if d == 1 else 1 for d in range(x.dim())]
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        own = wide.new_full((1,), x.numel() // x.shape[1])
        sums = total(torch.cat([wide.sum(others), own]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = wide - mean.view(columns)
        variance = total(centred.square().sum(others)) / count
        if self.track_running_stats:
            self._remember(mean.detach(), variance.detach() * (count / (count - 1)))
        y: Tensor = centred * (variance + self.eps).rsqrt().view(columns)
        if self.affine:
            y = y * self.weight.view(columns) + self.bias.view(columns)
        return y.to(x.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics; without a momentum they are the mean of all batches."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked if self.momentum is None else torch.tensor(self.momentum)
        self.running_mean.lerp_(mean, share.to(mean))
        self.running_var.lerp_(variance, share.to(mean))


LAYERS: dict[type[nn.Module], type[_BatchNorm]] = {
    plain: type(plain.__name__, (OverRanks, plain), {}) for plain in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
}  # the names stay, because groups of parameters match them


def normalise_over_ranks(model: nn.Module) -> bool:
    """Give the batch normalisations of `model` the forward pass above; return whether there are any."""
    norms = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, _BatchNorm)]
    for name, layer in norms:
        if type(layer) not in LAYERS:
            detail = f"/model: {name} ({type(layer).__name__}) normalises a batch in its own way"
            raise RunFailure("spec_cannot_build", f"{detail}, which several devices cannot do together: use one device")
        layer.__class__ = LAYERS[type(layer)]
    return bool(norms)
