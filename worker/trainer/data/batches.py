"""The rows of each update: a pure function of (seed, step), so a resumed run needs no replay."""

import hashlib
import math
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Literal, Protocol

import torch
from torch import Tensor

from service.spec.experiment import Experiment
from worker.trainer.data.loader_processes import LoaderProcesses, processes_for
from worker.trainer.data.memory_mapped import MappedRows, PackedRows, RowTensor
from worker.trainer.data.read_ahead import ReadAhead
from worker.trainer.data.token_windows import MappedWindows, ResidentWindows

Batch = tuple[Tensor, Tensor]


class Augmentation(Protocol):
    """The interface of a run's augmentation."""

    on_host: bool  # it computes on the CPU, whichever device trains
    costly: bool  # takes so long that several processes pay

    def bytes_of(self, step: int, images: Tensor, y: Tensor) -> Batch:
        """Return augmented bytes (B, C, H, W) of update `step`, and targets."""

    def scaled(self, images: Tensor) -> Tensor:
        """Return bytes as the model takes them."""


def epoch_order(seed: int, epoch: int, n: int) -> Tensor:
    """Return the order of `n` rows in an epoch (from 0), the same on every machine and independent of earlier draws."""
    digest = hashlib.sha256(f"order:{seed}:{epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.randperm(n, generator=generator, dtype=number_type(n))


def number_type(n: int) -> torch.dtype:
    """Return the smallest type that row numbers of `n` rows have: half the memory for all but the largest tables."""
    return torch.int32 if n <= 2**31 else torch.int64


def draw_rows(seed: int, epoch: int, shares: Tensor) -> Tensor:
    """Return as many row numbers as there are rows, drawn with replacement with the probabilities `shares` (N,)."""
    digest = hashlib.sha256(f"sample:{seed}:{epoch}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    edges = shares.cumsum(0)
    drawn = torch.rand(len(shares), generator=generator, dtype=torch.float64) * edges[-1]
    return torch.searchsorted(edges, drawn, right=True).clamp_(max=len(shares) - 1)


def drawn_starts(seed: int, step: int, rows: int, choices: int) -> Tensor:
    """Return the first tokens (rows,) of an update's windows, each drawn from 0 to `choices` - 1, with repetition."""
    digest = hashlib.sha256(f"windows:{seed}:{step}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return torch.randint(choices, (rows,), generator=generator)


def copy_to_device(values: Tensor, device: torch.device) -> Tensor:
    """Return the values on the device; a copy to a GPU starts from pinned memory, so that nothing waits for it."""
    return values if device.type == "cpu" else values.pin_memory().to(device, non_blocking=True)


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
        augment: Augmentation | None = None,
        shares: Tensor | None = None,
        draw: bool = False,
        rows_per_epoch: int | None = None,
        processes: Literal["auto"] | int = 0,
    ) -> None:
        self.x, self.y, self.augment = x, y, augment
        self.rows, self.seed, self.shuffle = rows, seed, shuffle
        self.shares = shares  # (N,): probability of drawing each row, with replacement; None: each once
        self.whole = whole  # every update takes all rows: nothing is drawn or copied
        self.drop_last = drop_last  # full batches only
        self.draw = draw  # each update draws windows of tokens, which start anywhere
        self.rows_per_epoch = rows_per_epoch or len(x)  # fewer than all where another fold has fewer
        self.per_epoch = self.rows_per_epoch // rows if drop_last else -(-self.rows_per_epoch // rows)
        self.on_disk = any(isinstance(table, MappedRows) for table in (x, y))
        # the latest epoch, and its order on the host or where the rows are, one piece per batch
        self._order: tuple[int, tuple[Tensor, ...]] = (-1, ())
        self.processes = processes  # that augment on the host, ahead of the updates
        self._host_y = y.cpu() if augment is not None and isinstance(y, Tensor) else torch.empty(0)
        self._ahead: ReadAhead[Batch] | LoaderProcesses | None = None
        self.waited_s = 0.0  # for batches that take time, until each was there

    @classmethod
    def of(
        cls,
        spec: Experiment,
        x: RowTensor,
        y: RowTensor,
        seed: int,
        shares: Tensor | None = None,
        augment: Augmentation | None = None,
    ) -> "Batches":
        """Return the batches of one run of `spec`, whose sampler draws each row with the probability `shares`."""
        whole, draw = spec.batch_size == "full", spec.dataset.draws_rows
        how = spec.rows_per_step, seed, spec.shuffle, whole, spec.drop_last, augment, shares, draw
        rows_per_epoch = None if spec.folds == 1 else spec.dataset.counts[0]
        return cls(x, y, *how, rows_per_epoch, spec.resources.loader_processes)

    def copy(self) -> "Batches":
        """Return the same batches with an independent position."""
        how = self.rows, self.seed, self.shuffle, self.whole, self.drop_last, self.augment, self.shares, self.draw
        return Batches(self.x, self.y, *how, self.rows_per_epoch, self.processes)

    def batch(self, step: int) -> Batch:
        """Return the rows of update `step` (from 1), augmented; the last batch of an epoch may be smaller."""
        if not self.takes_time:
            return self._rows(step)
        began = perf_counter()
        rows = self._rows(step) if self.augment is None else self._augmented(step, self.augment)
        self.waited_s += perf_counter() - began
        return rows

    @property
    def takes_time(self) -> bool:
        """Whether rows are read, prepared or augmented for each update, rather than chosen from rows on the device."""
        return self.augment is not None or (self.on_disk and not self.whole)

    def _rows(self, step: int) -> Batch:
        if self.whole:
            self.x, self.y = _load(self.x), _load(self.y)
            return self.x, self.y
        if self.on_disk:
            x, y = self._fetch(step) if self._ahead is None else self._ahead.take(step)
            return _receive(self.x, x), _receive(self.y, y)
        chosen = self._chosen(step, self.x.device)
        if self.draw:
            return _windows(self.x).windows(chosen), _windows(self.y).windows(chosen)
        return self.x.index_select(0, chosen), self.y.index_select(0, chosen)

    def _augmented(self, step: int, augment: Augmentation) -> Batch:
        device = self.x.device
        if isinstance(self.x, PackedRows):
            chosen = self._numbers(step, device)
            x, y = augment.bytes_of(step, self.x.packed.index_select(0, chosen), self.y.index_select(0, chosen))
        else:
            x, y = self._fetch(step) if self._ahead is None else self._ahead.take(step)
            if device.type == "cpu":
                return x, y
            x, y = copy_to_device(x, device), copy_to_device(y, device)
            if not augment.on_host:
                x, y = augment.bytes_of(step, x, y)
        return augment.scaled(x), y

    @contextmanager
    def reading_ahead(self, last: int) -> Iterator[None]:
        """Read rows on disk, and augment images on the host, ahead of the updates inside, up to update `last`."""
        self._ahead = ahead = self._read_ahead(last)
        try:
            yield
        finally:
            self._ahead = None
            if ahead is not None:
                ahead.close()

    def _read_ahead(self, last: int) -> ReadAhead[Batch] | LoaderProcesses | None:
        if self.augment is not None and self.augment.on_host:
            batch_bytes = 4 * self.rows * math.prod(self.x.shape[1:])
            number = processes_for(self.processes, batch_bytes, self.augment.costly)
            return LoaderProcesses(self._fetch, last, number) if number else None
        return ReadAhead(self._fetch, last) if self.on_disk and not self.whole else None

    def row_numbers(self, step: int) -> Tensor:
        """Return the row numbers, within the training split, of update `step`; of drawn windows the first tokens."""
        return self._numbers(step, torch.device("cpu"))

    def _augment_on_host(self, step: int, images: Tensor, y: Tensor, augment: Augmentation) -> Batch:
        """Return augmented images, for the CPU scaled too: a GPU gets bytes."""
        images, y = augment.bytes_of(step, images, y)
        return (augment.scaled(images) if self.x.device.type == "cpu" else images), y

    def stored(self, chosen: Tensor) -> Batch:
        """Return some images, before augmentation and scaling, and their classes, on the host."""
        if isinstance(self.x, PackedRows):
            images = self.x.packed.index_select(0, chosen.to(self.x.device)).cpu()
        else:
            assert isinstance(self.x, MappedRows), "images that are augmented are mapped or packed"
            images = torch.from_numpy(self.x.raw(chosen.numpy()))
        return images, self._host_y.index_select(0, chosen)

    def _numbers(self, step: int, device: torch.device) -> Tensor:
        return torch.arange(len(self.x), device=device) if self.whole else self._chosen(step, device)

    def _chosen(self, step: int, device: torch.device) -> Tensor:
        """Return the row numbers of update `step` on `device`; any thread may call this."""
        if self.draw:
            return copy_to_device(drawn_starts(self.seed, step, self.rows, _windows(self.x).choices), device)
        epoch, position = divmod(step - 1, self.per_epoch)
        latest, pieces = self._order
        if epoch != latest or pieces[0].device != device:
            pieces = torch.split(copy_to_device(self.epoch_rows(epoch), device), self.rows)
            self._order = epoch, pieces
        return pieces[position]

    def epoch_rows(self, epoch: int) -> Tensor:
        """Return the row numbers of an epoch (from 0) in order, on the host; not of windows, which are drawn."""
        if self.shares is not None:
            return draw_rows(self.seed, epoch, self.shares)[: self.rows_per_epoch]
        n = len(self.x)
        order = epoch_order(self.seed, epoch, n) if self.shuffle else torch.arange(n, dtype=number_type(n))
        return order[: self.rows_per_epoch]

    def _fetch(self, step: int) -> Batch:
        """Read an update's rows on the host, or their numbers where the rows are on the device; augment images."""
        chosen = self.row_numbers(step)
        if self.draw:
            starts = chosen.numpy()
            assert isinstance(self.x, MappedWindows), "inputs and targets are of one array"
            assert isinstance(self.y, MappedWindows), "inputs and targets are of one array"
            return self.x.fetch_windows(starts), self.y.fetch_windows(starts)
        if self.augment is not None:
            images, y = self.stored(chosen)
            return self._augment_on_host(step, images, y, self.augment) if self.augment.on_host else (images, y)
        x, y = (_fetch(table, chosen) for table in (self.x, self.y))
        return x, y


def _windows(table: RowTensor) -> MappedWindows | ResidentWindows:
    assert isinstance(table, MappedWindows | ResidentWindows), "only windows of tokens are drawn"
    return table


def _fetch(table: RowTensor, chosen: Tensor) -> Tensor:
    if isinstance(table, MappedRows):
        return table.fetch(chosen.numpy())
    return chosen if table.device.type == "cpu" else chosen.pin_memory()


def _receive(table: RowTensor, fetched: Tensor) -> Tensor:
    if isinstance(table, MappedRows):
        return table.receive(fetched)
    return table.index_select(0, fetched.to(table.device, non_blocking=True))


def _load(table: RowTensor) -> Tensor:
    """Return all rows: a full batch must fit in memory, even of rows that stay on disk."""
    return table if isinstance(table, Tensor) else table[:]
