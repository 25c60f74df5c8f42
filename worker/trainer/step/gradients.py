"""The gradient of an update: forward and backward over its batch, whole or in pieces."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from worker.trainer.data.batches import Batch, Batches
from worker.trainer.step.losses import loss_denominator, partial_loss
from worker.trainer.step.precision import Precision

STATELESS = ("torch.", "worker.")  # losses that are the same in both modes; switching takes 8 us


class Gradients:
    """Fills the parameters' gradients; `pieces` need a fraction of the memory and give the same update."""

    def __init__(
        self, model: nn.Module, criterion: nn.Module, batches: Batches, precision: Precision, pieces: int
    ) -> None:
        self.model, self.criterion, self.batches = model, criterion, batches
        self.precision, self.pieces = precision, pieces
        self._cleared = list(model.parameters())  # model.zero_grad() searches every module for them, in each update
        self.switches_loss = not all(type(part).__module__.startswith(STATELESS) for part in criterion.modules())

    def choose_parameters(self) -> None:
        """Take note that other parameters learn from now on."""

    def compute(self, step: int) -> Tensor:
        """Compute the gradients of update `step`, scaled for the precision; return the batch's mean loss, detached."""
        batch = self.batches.batch(step)  # (B, *shape), (B,) or (B, 1)
        self.clear()
        with self.training_loss():
            return self._compute(batch)

    def clear(self) -> None:
        """Drop the gradients of the update before."""
        for parameter in self._cleared:
            parameter.grad = None

    @contextmanager
    def training_loss(self) -> Iterator[None]:
        """Have a plug-in's loss in training mode inside, in which it may change its buffers or draw numbers."""
        if not self.switches_loss:
            yield
            return
        self.criterion.train()
        try:
            yield
        finally:
            self.criterion.eval()

    def _compute(self, batch: Batch) -> Tensor:
        if self.pieces == 1:
            return self._backward(batch, None)
        whole = loss_denominator(self.criterion, batch[1])
        losses = [self._backward(piece, whole) for piece in split_batch(batch, self.pieces)]
        return torch.stack(losses).sum()

    def _backward(self, batch: Batch, whole: Tensor | int | None) -> Tensor:
        """Add the gradient of these rows as part of a batch of denominator `whole`; None: they are the batch."""
        x, y = batch
        with self.precision.forward():
            outputs = self.model(x)
            loss = self.criterion(outputs, y) if whole is None else partial_loss(self.criterion, outputs, y, whole)
        torch.autograd.backward(self.precision.scaled(loss))
        return loss.detach()


def split_batch(batch: Batch, pieces: int) -> Iterator[Batch]:
    """Split a batch into `pieces` whose sizes differ by at most one; fewer rows give pieces of one row."""
    x, y = batch
    pieces = min(pieces, len(x))
    return zip(torch.tensor_split(x, pieces), torch.tensor_split(y, pieces), strict=True)
