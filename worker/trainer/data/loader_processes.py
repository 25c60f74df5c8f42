"""Loader processes: the batches of coming updates are made in processes of their own, where making one costs much.

torch's DataLoader runs them and hands their tensors over in shared memory. A batch depends on the update's number
alone, so they change no value. They are forked, like those of any DataLoader on Linux: they share the rows, stay in the
trainer's domain, and compute on one thread of the CPU. The kernel ends them with the trainer.
"""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from worker.trainer.process_end import die_with_parent

Batch = tuple[Tensor, Tensor]
AHEAD = 2  # batches that each process makes beyond the one taken
MOST = 4  # processes where their number is left to the worker, and batches cost much
SHARED_MEMORY = "/dev/shm"  # noqa: S108  its free space is read


def processes_for(wanted: int | Literal["auto"], batch_bytes: int, costly: bool = True) -> int:
    """Return how many processes to start: as wanted, or one per core; fewer where shared memory has no room.

    For batches that cost little, one is enough to make them while the model computes.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    number = wanted if wanted != "auto" else min(MOST if costly else 1, cores) if cores > 1 else 0
    room = shared_bytes() // max(1, 2 * batch_bytes)  # leave half of it
    return max(0, min(number, (room - 1) // AHEAD))


def shared_bytes() -> int:
    """Return the free bytes of shared memory; 0 where there is none."""
    try:
        free = os.statvfs(SHARED_MEMORY)
    except OSError:
        return 0
    return free.f_bavail * free.f_frsize


class _ByStep(Dataset[Batch]):
    def __init__(self, make: Callable[[int], Batch]) -> None:
        self.make = make

    def __getitem__(self, step: int) -> Batch:
        return self.make(step)


class LoaderProcesses:
    """Calls `make` in `number` processes for the updates from the first one taken on, none after `last`."""

    def __init__(self, make: Callable[[int], Batch], last: int, number: int) -> None:
        self._make, self._last, self._number = make, last, number
        self._batches: Iterator[Batch] | None = None
        self._next = 0  # the update that the processes deliver next

    def take(self, step: int) -> Batch:
        """Return the batch of update `step`; one out of order is made at once, in this process."""
        if self._batches is None:
            self._batches, self._next = self._start(step), step
        if step != self._next:
            return self._make(step)
        self._next += 1
        return next(self._batches)

    def _start(self, first: int) -> Iterator[Batch]:
        parent = os.getpid()
        loader = DataLoader(
            _ByStep(self._make),
            batch_size=None,
            sampler=range(first, self._last + 1),
            num_workers=self._number,
            collate_fn=_as_it_is,
            prefetch_factor=AHEAD,
            multiprocessing_context="fork",
            worker_init_fn=lambda _: _begin(parent),
            generator=torch.Generator(),  # the training's own draws nothing for it
        )
        return iter(loader)

    def close(self) -> None:
        """End the processes."""
        self._batches = None  # DataLoader ends them with its iterator


def _as_it_is(batch: Any) -> Any:
    return batch


def _begin(parent: int) -> None:
    die_with_parent(parent)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the trainer ignores it
