"""Gradient clipping of every member by its own limit."""

from collections.abc import Sequence

import torch
from torch import Tensor

from worker.trainer.pack.stack import Stack
from worker.trainer.step.clipping import Clipping


class PackedClipping:
    """The clipping of R members, who all bound the norm, or all bound each value, or none does."""

    def __init__(self, members: Sequence[Clipping]) -> None:
        self.members = list(members)
        self.clipped = Stack([[each.clipped] for each in members])
        self._note_limits()

    def _note_limits(self) -> None:
        rules = [each.by for each in self.members if each.by is not None]
        self.by_norm = bool(rules) and rules[0].norm is not None
        self.wanted = bool(rules) or self.members[0].norm_wanted
        limits = [(rule.norm if self.by_norm else rule.value) or 0.0 for rule in rules]
        self.limits = torch.tensor(limits, device=self.clipped.flat.device).unsqueeze(1) if rules else None

    def keep(self, slots: Sequence[int]) -> None:
        """Keep the members in these slots."""
        self.members = [self.members[slot] for slot in slots]
        self.clipped.keep(slots)
        self._note_limits()

    def apply(self, gradients: Sequence[Tensor]) -> Tensor | None:
        """Clip gradients (R, n) of all parameters in place; return the norms before (R,), None if nobody wants them."""
        if not self.wanted:
            return None
        norm = _joined([torch.linalg.vector_norm(g, dim=1) for g in gradients])
        if self.limits is None:
            return norm
        if self.by_norm:
            self.clipped.flat.add_(norm.unsqueeze(1) > self.limits)
            factor = (self.limits / (norm.unsqueeze(1) + 1e-6)).clamp(max=1.0)  # as torch's clip_grad_norm_
            for g in gradients:
                g.mul_(factor)
            return norm
        largest = torch.stack([g.abs().amax(1, keepdim=True) for g in gradients]).amax(0)
        self.clipped.flat.add_(largest > self.limits)
        for g in gradients:
            torch.clamp(g, -self.limits, self.limits, out=g)
        return norm


def _joined(norms: Sequence[Tensor]) -> Tensor:
    """Return the norm of vectors with these norms, (R,) each."""
    return norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(list(norms)), dim=0)
