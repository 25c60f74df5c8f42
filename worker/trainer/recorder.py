"""The recorder: buffers a run's values between the loop, which must not wait, and the flusher, which sends them.

There are two implementations. On the CPU it is cheapest to read the loss at once. On a GPU that would stall the device
at every step, so values are copied asynchronously.

Threads: the loop's thread calls `record`, which takes no lock. Any thread may call `drain`, one at a time. They share
lists, on which each operation is atomic: the loop appends; a drain copies a prefix and then deletes exactly that
prefix. Each is one call into C that runs no Python, under the interpreter lock or, in a free-threaded build, the list's
lock. So a point is either in the list or in the copy. Replacing the list would be wrong, because the loop may still
append to the old one.
"""

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from service.errors import RunFailure
from worker.trainer.loop import Step
from worker.trainer.metrics import Metrics

Floats = npt.NDArray[np.float64]
Readings = list[tuple[int, dict[str, float | Tensor]]]
T = TypeVar("T")
EVIDENCE_LOSSES = 16  # last finite losses to show as evidence


class Points(NamedTuple):
    """Part of a series: n values at first, first + every, ..., or at `steps` where they run unevenly (every 0)."""

    name: str
    first: int
    every: int
    n: int
    steps: npt.NDArray[np.int64] | None
    values: Floats


class Recorder(ABC):
    """Records steps in order, starting at `first`; `drain` returns each step once."""

    def __init__(self, first: int, tolerated: int | None = 0) -> None:
        self._next = first  # the first step that no drain has returned
        self._tolerated = tolerated  # nonfinite losses in a row; None: any number
        self._streak = 0  # current number of nonfinite losses in a row
        self._readings: Readings = []
        self._recent: list[float] = []  # last finite losses that were returned
        self.failure: RunFailure | None = None  # set once a loss was not finite and the run is to fail
        self._lock = threading.Lock()  # of drains; the loop never takes it

    def record_start(self, metrics: Metrics) -> None:
        """Record what was measured before the first step, at the step before it."""
        if metrics:
            self._readings.append((self._next - 1, metrics))

    @abstractmethod
    def record(self, step: Step) -> None:
        """Record a step; raise `RunFailure` once a loss was not finite and the run is to fail."""

    @abstractmethod
    def _collect(self, wait: bool) -> tuple[Floats, Readings]:
        """Return what has arrived since the last call: rows (n, 2) of loss and learning rate, and the readings."""

    def drain(self, wait: bool = False) -> list[Points]:
        """Return everything that has arrived; with `wait`, everything recorded."""
        with self._lock:
            rows, readings = self._collect(wait)
            first, self._next = self._next, self._next + len(rows)
            finite = rows[-EVIDENCE_LOSSES:, 0]
            self._recent = [*self._recent, *finite[np.isfinite(finite)].tolist()][-EVIDENCE_LOSSES:]
        names = [
            Points(name, first, 1, len(rows), None, rows[:, i]) for i, name in enumerate(("loss", "lr")) if len(rows)
        ]
        return names + _group_by_series(readings)

    def _failing_position(self, finite: npt.NDArray[np.bool_]) -> int | None:
        """Return the position of the first nonfinite loss that is not tolerated, or None."""
        if self._tolerated is None or (finite.all() and len(finite)):
            self._streak = 0
            return None
        for position, good in enumerate(finite.tolist()):
            self._streak = 0 if good else self._streak + 1
            if self._streak > self._tolerated:
                return position
        return None


def make_recorder(device: torch.device, first: int, tolerated: int | None = 0) -> Recorder:
    """Return the cheapest recorder for `device`."""
    if device.type == "cpu":
        return HostRecorder(first, tolerated)
    return DeviceRecorder(first, tolerated, device)


def divergence_failure(step: int, loss: float, lr: float, finite: Iterable[float]) -> RunFailure:
    """Return the failure of a run whose loss is not finite."""
    evidence = {"loss": str(loss), "lr": lr, "last_finite_losses": list(finite)[-EVIDENCE_LOSSES:]}
    return RunFailure("diverged", f"the loss is {loss} at step {step} (learning rate {lr:g})", step, evidence)


class HostRecorder(Recorder):
    """The recorder for the CPU: reads each loss at once."""

    def __init__(self, first: int, tolerated: int | None = 0) -> None:
        super().__init__(first, tolerated)
        self._values: list[float] = []  # loss, rate, loss, rate, ...

    def record(self, step: Step) -> None:
        """Append two floats to a list; the readings first, so that they are complete once the loss is there."""
        if step.metrics is not None:
            self._readings.append((step.step, step.metrics))
        loss = step.loss.item()
        self._values.extend((loss, step.lr))
        if math.isfinite(loss):
            self._streak = 0
        elif self._tolerated is not None:
            self._streak += 1
            if self._streak > self._tolerated:
                raise self._diverged(step.step, loss, step.lr)

    def record_block(self, first: int, losses: Floats, rates: Floats, readings: Readings) -> None:
        """Record several steps at once, from `first` on; raise `RunFailure` at the loss that `record` would."""
        if len(losses) == 1 and math.isfinite(losses[0]):  # as a pack ends each block, without arrays
            self._streak = 0
            self._readings.extend(readings)
            self._values.extend((float(losses[0]), float(rates[0])))
            return
        end = self._failing_position(np.isfinite(losses))
        made = len(losses) if end is None else end + 1
        self._readings.extend(readings if end is None else [each for each in readings if each[0] < first + made])
        self._values.extend(np.column_stack((losses, rates))[:made].reshape(-1).tolist())
        if end is not None:
            raise self._diverged(first + end, float(losses[end]), float(rates[end]))

    def _diverged(self, step: int, loss: float, lr: float) -> RunFailure:
        with self._lock:
            losses = [*self._recent, *filter(math.isfinite, self._values[::2])]
        self.failure = divergence_failure(step, loss, lr, losses)
        return self.failure

    def _collect(self, wait: bool) -> tuple[Floats, Readings]:
        """Drain the losses first, then the readings of the same steps, so a drain has all points up to one step."""
        rows = np.array(_drain_list(self._values), np.float64).reshape(-1, 2)
        return rows, _drain_before(self._readings, self._next + len(rows))


class Event(Protocol):
    """The interface of torch.cuda.Event: a mark in the device's queue of work."""

    def record(self) -> None:
        """Add the mark to the end of the queue."""

    def query(self) -> bool:
        """Whether the device has passed it."""

    def synchronize(self) -> None:
        """Wait until the device has passed it."""


class Transfer(NamedTuple):
    """A copy to the host; `values` may be read once `event` has passed."""

    event: Event
    values: Tensor  # the losses, then the readings that are tensors, in order
    rates: list[float]
    readings: Readings  # their tensors are still on the device


class DeviceRecorder(Recorder):
    """The recorder for a GPU: copies losses to a ring buffer on the device, and blocks of it to pinned memory.

    A slot needs no lock: the copy out of it and the next write into it are queued in one stream. Each transfer has its
    own pinned tensor, which torch's caching allocator reuses only after the copy is done.
    """

    def __init__(
        self,
        first: int,
        tolerated: int | None,
        device: torch.device,
        slots: int = 128,
        event: Callable[[], Event] = torch.cuda.Event,
    ) -> None:
        super().__init__(first, tolerated)
        self._ring = torch.zeros(slots, device=device)
        self._slots = self._ring.unbind()  # one view per slot
        self._event, self._pinned = event, device.type == "cuda"
        self._rates: list[float] = []  # of the losses in the ring
        self._transfers: list[Transfer] = []
        self._drain_requested = True  # since the last transfer; True, so that the first step is sent at once

    def record(self, step: Step) -> None:
        """Copy the loss on the device; every `slots` steps, or after a drain, start a copy to the host."""
        if self.failure is not None:
            raise self.failure
        self._slots[len(self._rates)].copy_(step.loss)
        self._rates.append(step.lr)
        if step.metrics is not None:
            self._readings.append((step.step, step.metrics))
        if self._drain_requested or len(self._rates) == len(self._slots):
            self._start_transfer()

    def _start_transfer(self) -> None:
        """Start a copy to the host; only the loop's thread, which owns the buffers and the stream, may call this."""
        self._drain_requested = False
        losses = self._ring[: len(self._rates)]
        tensors = [v.reshape(1) for _, readings in self._readings for v in readings.values() if isinstance(v, Tensor)]
        device = torch.cat([losses, *tensors])
        host = torch.empty(len(device), dtype=device.dtype, pin_memory=self._pinned)
        host.copy_(device, non_blocking=True)
        event = self._event()
        event.record()
        self._transfers.append(Transfer(event, host, self._rates, self._readings))
        self._rates, self._readings = [], []

    def _collect(self, wait: bool) -> tuple[Floats, Readings]:
        """Collect finished transfers; only the loop's thread may call this with `wait`."""
        if wait and self._rates:
            self._start_transfer()
        self._drain_requested = True
        rows: list[Floats] = [np.empty((0, 2))]
        readings: Readings = []
        at = self._next
        while self._transfers and (wait or self._transfers[0].event.query()):
            transfer = self._transfers.pop(0)
            transfer.event.synchronize()  # returns at once, unless `wait`
            if self.failure is None:
                rows.append(self._read_rows(transfer, at, rows))
                at += len(rows[-1])
                readings += [(step, values) for step, values in _resolve_readings(transfer) if step < at]
        return np.concatenate(rows), readings

    def _read_rows(self, transfer: Transfer, first: int, before: list[Floats]) -> Floats:
        """Return rows (n, 2) of loss and learning rate, up to the first loss that ends the run."""
        losses = transfer.values[: len(transfer.rates)].numpy()
        rows = np.column_stack([losses, transfer.rates]).astype(np.float64)
        end = self._failing_position(np.isfinite(losses))
        if end is None:
            return rows
        finite = [*self._recent, *np.concatenate([*before, rows[:end]])[:, 0].tolist()]
        self.failure = divergence_failure(first + end, float(losses[end]), transfer.rates[end], finite)
        return rows[: end + 1]


def _resolve_readings(transfer: Transfer) -> Readings:
    """Return the readings with their tensors replaced by values."""
    values = iter(transfer.values[len(transfer.rates) :].tolist())
    return [
        (step, {name: next(values) if isinstance(value, Tensor) else value for name, value in readings.items()})
        for step, readings in transfer.readings
    ]


def _drain_list(items: list[T]) -> list[T]:
    """Copy and delete the current items; see the module's docstring about threads."""
    copy = items[:]
    del items[: len(copy)]
    return copy


def _drain_before(readings: Readings, step: int) -> Readings:
    """Copy and delete the readings before `step`; the loop appends them in order."""
    due = [reading for reading in readings[:] if reading[0] < step]
    del readings[: len(due)]
    return due


def _group_by_series(readings: Readings) -> list[Points]:
    """Group readings by series; steps are listed only if they are uneven."""
    gathered: dict[str, tuple[list[int], list[float]]] = {}
    for step, values in readings:
        for name, value in values.items():
            if (series := gathered.get(name)) is None:
                series = gathered[name] = [], []
            series[0].append(step)
            series[1].append(float(value))
    return [_to_points(name, steps, values) for name, (steps, values) in gathered.items()]


def _to_points(name: str, steps: list[int], values: list[float]) -> Points:
    first, n = steps[0], len(steps)
    every = steps[1] - first if n > 1 else 1
    even = n < 3 or (
        every > 0 and steps == list(range(first, first + n * every, every))
    )  # a list is faster: n is small
    return Points(name, first, every if even else 0, n, None if even else np.array(steps, np.int64), np.array(values))
