"""The rows of each update: a pure function of (seed, step), so a resumed run needs no replay."""

import hashlib

import torch
from torch import Tensor

from service.spec.experiment import Experiment
from worker.trainer.data.memory_mapped import MappedRows, RowTensor

Batch = tuple[Tensor, Tensor]


def epoch_order(seed: int, epoch: int, n: int) -> Tensor:
    """Return the order of `n` rows in an epoch (from 0), the same on every machine and independent of earlier draws."""
    digest = hashlib.sha256(f"order:{seed}:{epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.randperm(n, generator=generator)


class Batches:
    """The batches of the training split: x (N, *shape) and y (N, ...), on the device or memory-mapped."""

    def __init__(
        self,
        x: RowTensor,
        y: RowTensor,
        rows: int,
        seed: int,
        shuffle: bool = True,
        whole: bool = False,
        drop_last: bool = False,
    ) -> None:
        self.x, self.y = x, y
        self.rows, self.seed, self.shuffle = rows, seed, shuffle
        self.whole = whole  # every update takes all rows: nothing is drawn or copied
        self.drop_last = drop_last  # full batches only
        self.per_epoch = len(x) // rows if drop_last else -(-len(x) // rows)
        self._epoch = -1
        self._indices: tuple[Tensor, ...] = ()  # the epoch's order, one piece per batch

    @classmethod
    def of(cls, spec: Experiment, x: RowTensor, y: RowTensor, seed: int) -> "Batches":
        """Return the batches of one run of `spec`."""
        return cls(x, y, spec.rows_per_step, seed, spec.shuffle, spec.batch_size == "full", spec.drop_last)

    def copy(self) -> "Batches":
        """Return the same batches with an independent position."""
        return Batches(self.x, self.y, self.rows, self.seed, self.shuffle, self.whole, self.drop_last)

    def batch(self, step: int) -> Batch:
        """Return the rows of update `step` (from 1); the last batch of an epoch may be smaller."""
        if self.whole:
            self.x, self.y = _load(self.x), _load(self.y)
            return self.x, self.y
        epoch, position = divmod(step - 1, self.per_epoch)
        if epoch != self._epoch:
            self._epoch = epoch
            self._indices = torch.split(self._order(epoch).to(self.x.device), self.rows)
        chosen = self._indices[position]
        return self.x.index_select(0, chosen), self.y.index_select(0, chosen)

    def row_numbers(self, step: int) -> Tensor:
        """Return the row numbers, within the training split, of update `step`."""
        if self.whole:
            return torch.arange(len(self.x))
        epoch, position = divmod(step - 1, self.per_epoch)
        return torch.split(self._order(epoch), self.rows)[position]

    def _order(self, epoch: int) -> Tensor:
        return epoch_order(self.seed, epoch, len(self.x)) if self.shuffle else torch.arange(len(self.x))


def _load(table: RowTensor) -> Tensor:
    """Return all rows: a full batch must fit in memory, even of rows that stay on disk."""
    return table[:] if isinstance(table, MappedRows) else table
