"""The gradient of an update on several devices: each rank computes its rows' part, and all add them up."""

from collections.abc import Callable

import torch
from torch import Tensor

from service.errors import RunFailure
from worker.trainer.data.batches import Batch
from worker.trainer.ranks.batch_norm import over_ranks
from worker.trainer.ranks.group import Group
from worker.trainer.step.gradients import Gradients, split_batch
from worker.trainer.step.losses import loss_denominator


class RankGradients(Gradients):
    """Fills the parameters' gradients with those of the whole batch, the same on every rank to the last bit.

    Every rank reads the whole batch and computes a share of it, so the denominator of the mean is known without being
    asked for. With accumulation each piece is divided, so a batch normalisation sees the pieces that it sees on one
    device.
    """

    def __init__(self, plain: Gradients, group: Group, has_batch_norm: bool) -> None:
        super().__init__(plain.model, plain.criterion, plain.batches, plain.precision, plain.pieces)
        self.group, self.has_batch_norm = group, has_batch_norm
        self.choose_parameters()
        self.announce: Callable[[int], None] = lambda step: None  # tells the other ranks to make this step
        self.busy = False  # in a step, or failed in one

    def choose_parameters(self) -> None:
        """Note which parameters learn; the next step finds out which of them have a gradient."""
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.with_gradient: list[bool] | None = None  # of some rank; the others' stay None, as on one device

    def compute(self, step: int) -> Tensor:
        """Compute the gradients of update `step`; return the whole batch's mean loss, detached."""
        self.busy = True
        self.announce(step)
        batch = self.batches.batch(step)
        self.clear()
        whole = loss_denominator(self.criterion, batch[1])
        with over_ranks(self.group), self.training_loss():
            losses = [self._compute_share(piece, whole) for piece in split_batch(batch, self.pieces)]
        loss = torch.stack(losses).sum()
        self.group.add_up([loss, *self._gradients()])
        self.busy = False
        return loss

    def _compute_share(self, piece: Batch, whole: Tensor | int) -> Tensor:
        """Add the gradient of this rank's rows of a piece."""
        x, y = (torch.tensor_split(each, self.group.size)[self.group.rank] for each in piece)
        if len(x):
            return self._backward((x, y), whole)
        nothing = torch.zeros((), device=x.device)
        if self.has_batch_norm:  # the other ranks wait for its sums
            with self.precision.forward():
                nothing = self.model(x).sum() * 0.0
            torch.autograd.backward(self.precision.scaled(nothing))
        return nothing.detach().to(torch.get_default_dtype())

    def _gradients(self) -> list[Tensor]:
        """Return the gradients to add up: 0 for a parameter that only other ranks have one of."""
        present = [p.grad is not None for p in self.parameters]
        if self.with_gradient is None:
            self.with_gradient = self.group.any(present, self.parameters[0].device)
        found: list[Tensor] = []
        for p, own, some in zip(self.parameters, present, self.with_gradient, strict=True):
            if own and not some:
                detail = "a parameter has a gradient that it did not have at the first step: use one device"
                raise RunFailure("spec_cannot_build", f"/model: {detail}")
            if some:
                if p.grad is None:
                    p.grad = torch.zeros_like(p)
                found.append(p.grad)
        return found
