"""Tensors of several runs in one piece of memory, in which each run's own tensors become views.

What reads or writes one run's tensors (a checkpoint, a probe, an ordinary step) works as before; a packed step works on
all of them at once.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


class Stack:
    """Equally shaped tensors of R members, in one piece (R, P) of memory or in one for each tensor.

    One piece takes fewer operations, pieces apart are contiguous.
    """

    def __init__(self, members: Sequence[Sequence[Tensor]], apart: bool = False) -> None:
        """Move the tensors of each member; all are of one type. A tensor of a member is the same object as before."""
        self.shapes = [tensor.shape for tensor in members[0]]
        self.sizes = [tensor.numel() for tensor in members[0]]
        self.members, self.apart = [list(own) for own in members], apart
        with torch.no_grad():
            whole = torch.stack([torch.cat([tensor.reshape(-1) for tensor in own]) for own in self.members])
        self.pieces = [piece.contiguous() for piece in torch.split(whole, self.sizes, 1)] if apart else [whole]
        self._bind()

    @property
    def flat(self) -> Tensor:
        """The tensors (R, P) of all members, each member's in a row."""
        assert not self.apart
        return self.pieces[0]

    @property
    def nbytes(self) -> int:
        """The bytes of all members."""
        return sum(piece.nbytes for piece in self.pieces)

    def _bind(self) -> None:
        parts = self.parts()
        for slot, own in enumerate(self.members):
            for tensor, part in zip(own, parts, strict=True):
                tensor.data = part[slot]

    def parts(self, pieces: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Return views (R, *shape) of the tensors, or of others laid out as they are."""
        pieces = self.pieces if pieces is None else pieces
        split = pieces if self.apart else torch.split(pieces[0], self.sizes, 1)
        return [each.view(len(each), *shape) for each, shape in zip(split, self.shapes, strict=True)]

    def keep(self, slots: Sequence[int]) -> None:
        """Keep these members, in this order; the tensors of the others stay views of the memory so far."""
        self.members = [self.members[slot] for slot in slots]
        self.pieces = [piece[list(slots)] for piece in self.pieces]
        self._bind()
