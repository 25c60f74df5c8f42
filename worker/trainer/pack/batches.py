"""The rows of one update of every member: one gather for all, or none where all train on the same rows."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from worker.trainer.data.batches import Batches


class PackedBatch(NamedTuple):
    """x and y of one update: (R, B, ...), or (B, ...) where `shared` by all members."""

    x: Tensor
    y: Tensor
    shared: bool

    def of(self, slots: slice) -> "PackedBatch":
        """Return the rows of the members in these slots."""
        return self if self.shared else PackedBatch(self.x[slots], self.y[slots], False)


class PackedBatches:
    """The batches of R members that make the same update."""

    def __init__(self, members: Sequence[Batches]) -> None:
        self.members = members
        first = members[0]
        same_rows = all(each.x is first.x and each.y is first.y for each in members)
        drawn = first.shuffle or first.draw or first.shares is not None
        same_order = first.whole or not drawn or all(each.seed == first.seed for each in members)
        self.shared = same_rows and same_order
        chooses = not (first.takes_time or first.whole or first.on_disk or first.draw)
        self.gathers = same_rows and chooses and isinstance(first.x, Tensor)
        self._orders = -1, torch.empty(0)  # the latest epoch, and the rows (R, N) of each member

    def batch(self, step: int) -> PackedBatch:
        """Return the rows of update `step`, the same of all members."""
        if self.shared:
            return PackedBatch(*self.members[0].batch(step), True)
        if self.gathers:
            return self._gathered(step)
        x, y = zip(*(each.batch(step) for each in self.members), strict=True)
        return PackedBatch(torch.stack(x), torch.stack(y), False)

    def _gathered(self, step: int) -> PackedBatch:
        first = self.members[0]
        epoch, position = divmod(step - 1, first.per_epoch)
        if epoch != self._orders[0]:
            self._orders = epoch, torch.stack([each.epoch_rows(epoch) for each in self.members]).to(first.x.device)
        chosen = self._orders[1][:, position * first.rows : (position + 1) * first.rows]
        rows = chosen.reshape(-1)
        x, y = (table.index_select(0, rows).view(*chosen.shape, *table.shape[1:]) for table in (first.x, first.y))
        return PackedBatch(x, y, False)
