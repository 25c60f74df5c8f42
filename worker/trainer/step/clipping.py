"""Gradient clipping: bounds the gradients in place, and counts the updates it changed."""

import torch
from torch import Tensor, nn

from service.spec.training import Clip
from worker.trainer.metrics import Metrics


def total_norm(parameters: list[nn.Parameter], order: float = 2.0) -> Tensor:
    """Return the norm of all gradients as one vector."""
    return nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None], order)


class Clipping:
    """The clipping of a run; its count stays on the device, so that nothing waits for it."""

    def __init__(
        self, by: Clip | None, parameters: list[nn.Parameter], device: torch.device, norm_wanted: bool = False
    ) -> None:
        self.by, self.parameters, self.norm_wanted = by, parameters, norm_wanted
        self.clipped = torch.zeros((), dtype=torch.int64, device=device)  # updates so far whose gradient was too large

    def apply(self, updated: bool = True) -> Metrics:
        """Clip; return the total 2-norm before, where it is computed or wanted.

        `updated` False: the gradients overflowed and the update is skipped, so it does not count as clipped.
        """
        if self.by is None:
            return {"grad_norm": total_norm(self.parameters)} if self.norm_wanted else {}
        if self.by.norm is not None:
            norm = nn.utils.clip_grad_norm_(self.parameters, self.by.norm)
            self.clipped += (norm > self.by.norm) & updated
            return {"grad_norm": norm}
        norm, largest = total_norm(self.parameters), total_norm(self.parameters, torch.inf)
        limit = self.by.value or 0.0
        nn.utils.clip_grad_value_(self.parameters, limit)
        self.clipped += (largest > limit) & updated
        return {"grad_norm": norm}

    def share(self, updates: int) -> Metrics:
        """Return the share of the first `updates` updates that were clipped."""
        return {} if self.by is None else {"clipped_share": self.clipped / max(updates, 1)}
