"""The gradient of an update: forward and backward over its batch, at once or in pieces."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from worker.trainer.data.batches import Batch, Batches
from worker.trainer.step.losses import loss_denominator, partial_loss
from worker.trainer.step.precision import Precision


class Gradients:
    """Fills the parameters' gradients; in `pieces` an update needs a fraction of the memory and is the same."""

    def __init__(
        self, model: nn.Module, criterion: nn.Module, batches: Batches, precision: Precision, pieces: int
    ) -> None:
        self.model, self.criterion, self.batches = model, criterion, batches
        self.precision, self.pieces = precision, pieces

    def compute(self, step: int) -> Tensor:
        """Gradients of update `step`, scaled as the precision asks; returns the mean loss of the batch, detached."""
        batch = self.batches.batch(step)  # (B, *shape), (B,) or (B, 1)
        self.model.zero_grad(set_to_none=True)
        if self.pieces == 1:
            return self._backward(batch, None)
        whole = loss_denominator(self.criterion, batch[1])
        losses = [self._backward(piece, whole) for piece in cut(batch, self.pieces)]
        return torch.stack(losses).sum()

    def _backward(self, batch: Batch, whole: Tensor | int | None) -> Tensor:
        """Add the gradient of these rows as part of a batch of denominator `whole`; None: they are the batch."""
        x, y = batch
        with self.precision.forward():
            outputs = self.model(x)
            loss = self.criterion(outputs, y) if whole is None else partial_loss(self.criterion, outputs, y, whole)
        torch.autograd.backward(self.precision.scaled(loss))
        return loss.detach()


def cut(batch: Batch, pieces: int) -> Iterator[Batch]:
    """The batch in `pieces` whose sizes differ by one at most; a row each where there are fewer rows."""
    x, y = batch
    pieces = min(pieces, len(x))
    return zip(torch.tensor_split(x, pieces), torch.tensor_split(y, pieces), strict=True)
