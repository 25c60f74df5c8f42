"""Tensors of several runs in one piece of memory, in which each run's own tensors become views.

What reads or writes one run's tensors (a checkpoint, a probe, an ordinary step) works as before; a packed step works on
all of them at once.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class Stack:
    """Equally shaped tensors of R members: `flat` (R, P) holds each member's in a row."""

    def __init__(self, members: Sequence[Sequence[Tensor]]) -> None:
        """Move the tensors of each member; all are of one type. A tensor of a member is the same object as before."""
        self.shapes = [tensor.shape for tensor in members[0]]
        self.sizes = [tensor.numel() for tensor in members[0]]
        self.members = [list(own) for own in members]
        with torch.no_grad():
            self.flat = torch.stack([torch.cat([tensor.reshape(-1) for tensor in own]) for own in self.members])
        self._bind()

    def _bind(self) -> None:
        for own, row in zip(self.members, self.flat.unbind(), strict=True):
            for tensor, part, shape in zip(own, torch.split(row, self.sizes), self.shapes, strict=True):
                tensor.data = part.view(shape)

    def parts(self, flat: Tensor | None = None) -> list[Tensor]:
        """Return views (R, *shape) of the tensors, or of others laid out as they are."""
        flat = self.flat if flat is None else flat
        pieces = torch.split(flat, self.sizes, 1)
        return [piece.view(len(flat), *shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def keep(self, slots: Sequence[int]) -> None:
        """Keep these members, in this order; the tensors of the others stay views of the memory so far."""
        self.members = [self.members[slot] for slot in slots]
        self.flat = self.flat[list(slots)]
        self._bind()
