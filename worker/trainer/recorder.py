"""Buffers a run's values between the loop, which must not wait, and the flusher, which sends them.

Two implementations, chosen by device as measured: on the CPU reading the loss at once is cheapest; on a GPU that would
stop the pipeline at every step, so values are copied asynchronously.

Threads: `record` is called by the loop's thread and takes no lock. `drain` may be called by any thread; drains exclude
each other. Between the two only whole-list operations happen: the loop appends at the end, a drain copies a prefix and
then deletes exactly that prefix. Each of these is one call into C that runs no Python, which the interpreter lock (or,
in a free-threaded build, the list's own lock) makes indivisible; so a point is in the list or in the copy, never lost
and never in both. Swapping the list for a new one would be wrong: the loop may append to the old one once it was read.
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

Floats = npt.NDArray[np.float64]
Readings = list[tuple[int, dict[str, float | Tensor]]]
T = TypeVar("T")
EVIDENCE_LOSSES = 16  # last finite losses shown as evidence


class Points(NamedTuple):
    """Part of a series: n values at first, first + every, ..., or at `steps` where they run unevenly (every 0)."""

    name: str
    first: int
    every: int
    n: int
    steps: npt.NDArray[np.int64] | None
    values: Floats


class Recorder(ABC):
    """Records steps in order from `first` on and returns each once."""

    def __init__(self, first: int, tolerated: int | None = 0) -> None:
        self._next = first  # the first step that no drain has returned
        self._tolerated = tolerated  # nonfinite losses in a row; None: any number
        self._streak = 0  # of those, up to the last loss looked at
        self._recent: list[float] = []  # last finite losses that were returned
        self.failure: RunFailure | None = None  # set once a loss was not finite and the run is to fail
        self._lock = threading.Lock()  # drains only; the loop never takes it

    @abstractmethod
    def record(self, step: Step) -> None:
        """Record a step; raise `RunFailure` once a loss was not finite and the run is to fail."""

    @abstractmethod
    def _take(self, wait: bool) -> tuple[Floats, Readings]:
        """Return what has arrived since the last call: rows (n, 2) of loss and rate, and the readings."""

    def drain(self, wait: bool = False) -> list[Points]:
        """Return everything that has arrived; with `wait`, everything recorded."""
        with self._lock:
            rows, readings = self._take(wait)
            first, self._next = self._next, self._next + len(rows)
            finite = rows[-EVIDENCE_LOSSES:, 0]
            self._recent = [*self._recent, *finite[np.isfinite(finite)].tolist()][-EVIDENCE_LOSSES:]
        names = [
            Points(name, first, 1, len(rows), None, rows[:, i]) for i, name in enumerate(("loss", "lr")) if len(rows)
        ]
        return names + _series(readings)


def make_recorder(device: torch.device, first: int, tolerated: int | None = 0) -> Recorder:
    """Return the recorder that costs least on `device`."""
    if device.type == "cpu":
        return HostRecorder(first, tolerated)
    return DeviceRecorder(first, tolerated, device)


def diverged(step: int, loss: float, lr: float, finite: Iterable[float]) -> RunFailure:
    """Return the failure of a run whose loss is not finite."""
    evidence = {"loss": str(loss), "lr": lr, "last_finite_losses": list(finite)[-EVIDENCE_LOSSES:]}
    return RunFailure("diverged", f"the loss is {loss} at step {step} (learning rate {lr:g})", step, evidence)


class HostRecorder(Recorder):
    """Reads each loss at once."""

    def __init__(self, first: int, tolerated: int | None = 0) -> None:
        super().__init__(first, tolerated)
        self._flat: list[float] = []  # loss, rate, loss, rate, ...
        self._readings: Readings = []

    def record(self, step: Step) -> None:
        """Two floats at the end of a list; a step's readings come first, so that they are there once its loss is."""
        if step.metrics is not None:
            self._readings.append((step.step, step.metrics))
        loss = step.loss.item()
        self._flat.extend((loss, step.lr))
        if math.isfinite(loss):
            self._streak = 0
        elif self._tolerated is not None:
            self._streak += 1
            if self._streak > self._tolerated:
                raise self._diverged(step.step, loss, step.lr)

    def _diverged(self, step: int, loss: float, lr: float) -> RunFailure:
        with self._lock:
            losses = [*self._recent, *filter(math.isfinite, self._flat[::2])]
        self.failure = diverged(step, loss, lr, losses)
        return self.failure

    def _take(self, wait: bool) -> tuple[Floats, Readings]:
        """The losses first, then the readings of just those steps: a drain holds all points up to one step."""
        rows = np.array(_cut(self._flat), np.float64).reshape(-1, 2)
        return rows, _cut_before(self._readings, self._next + len(rows))


class Event(Protocol):
    """What is used of torch.cuda.Event: a mark in the device's queue of work."""

    def record(self) -> None:
        """Put the mark at the end of the queue."""

    def query(self) -> bool:
        """Whether the device has passed it."""

    def synchronize(self) -> None:
        """Wait until it has."""


class Shipment(NamedTuple):
    """Numbers under way to the host; `values` may be read once `event` has passed."""

    event: Event
    values: Tensor  # the losses, then the readings that are tensors, in order
    rates: list[float]
    readings: Readings  # their tensors are still the device's


class DeviceRecorder(Recorder):
    """Losses into a ring on the device, from there in blocks into pinned memory; nothing waits for the device.

    The ring's reuse needs no guard: the copy out of a slot and the next write into it are queued in one stream. The
    pinned tensor of a shipment is its own; torch's caching allocator hands it out again only when its copy is done.
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
        self._slots = self._ring.unbind()  # a view each, made once
        self._event, self._pinned = event, device.type == "cuda"
        self._rates: list[float] = []  # of the losses in the ring
        self._readings: Readings = []
        self._under_way: list[Shipment] = []
        self._asked = True  # a drain came by since the last shipment; True so that the first step is shown at once

    def record(self, step: Step) -> None:
        """One copy on the device; every `slots` steps, or when a drain came by, one more to the host."""
        if self.failure is not None:
            raise self.failure
        self._slots[len(self._rates)].copy_(step.loss)
        self._rates.append(step.lr)
        if step.metrics is not None:
            self._readings.append((step.step, step.metrics))
        if self._asked or len(self._rates) == len(self._slots):
            self._ship()

    def _ship(self) -> None:
        """Only the loop's thread comes here: `_rates` and `_readings` are its own, and so is the stream."""
        self._asked = False
        losses = self._ring[: len(self._rates)]
        tensors = [v.reshape(1) for _, readings in self._readings for v in readings.values() if isinstance(v, Tensor)]
        device = torch.cat([losses, *tensors])
        host = torch.empty(len(device), dtype=device.dtype, pin_memory=self._pinned)
        host.copy_(device, non_blocking=True)
        event = self._event()
        event.record()
        self._under_way.append(Shipment(event, host, self._rates, self._readings))
        self._rates, self._readings = [], []

    def _take(self, wait: bool) -> tuple[Floats, Readings]:
        """With `wait` only the loop's thread may ask."""
        if wait and self._rates:
            self._ship()
        self._asked = True
        rows: list[Floats] = [np.empty((0, 2))]
        readings: Readings = []
        at = self._next
        while self._under_way and (wait or self._under_way[0].event.query()):
            shipment = self._under_way.pop(0)
            shipment.event.synchronize()  # passed already, unless we are to wait
            if self.failure is None:
                rows.append(self._losses(shipment, at, rows))
                at += len(rows[-1])
                readings += [(step, values) for step, values in _landed(shipment) if step < at]
        return np.concatenate(rows), readings

    def _losses(self, shipment: Shipment, first: int, before: list[Floats]) -> Floats:
        """Rows (n, 2) of loss and rate, up to the first loss that ends the run."""
        losses = shipment.values[: len(shipment.rates)].numpy()
        rows = np.column_stack([losses, shipment.rates]).astype(np.float64)
        end = self._failing_position(np.isfinite(losses))
        if end is None:
            return rows
        finite = [*self._recent, *np.concatenate([*before, rows[:end]])[:, 0].tolist()]
        self.failure = diverged(first + end, float(losses[end]), shipment.rates[end], finite)
        return rows[: end + 1]

    def _failing_position(self, finite: npt.NDArray[np.bool_]) -> int | None:
        """Return the position of the nonfinite loss that is one too many; None if there is none."""
        if self._tolerated is None or (finite.all() and len(finite)):
            self._streak = 0
            return None
        for position, good in enumerate(finite.tolist()):
            self._streak = 0 if good else self._streak + 1
            if self._streak > self._tolerated:
                return position
        return None


def _landed(shipment: Shipment) -> Readings:
    """The readings with their tensors' values in place."""
    arrived = iter(shipment.values[len(shipment.rates) :].tolist())
    return [
        (step, {name: next(arrived) if isinstance(value, Tensor) else value for name, value in readings.items()})
        for step, readings in shipment.readings
    ]


def _cut(items: list[T]) -> list[T]:
    """Copy what is there and delete exactly that; see the module's note on threads."""
    copy = items[:]
    del items[: len(copy)]
    return copy


def _cut_before(readings: Readings, step: int) -> Readings:
    """Take what was read before `step`; the loop appends in the order of steps."""
    due = [reading for reading in readings[:] if reading[0] < step]
    del readings[: len(due)]
    return due


def _series(readings: Readings) -> list[Points]:
    """Readings gathered by name, with their steps only where they are uneven."""
    gathered: dict[str, list[tuple[int, float]]] = {}
    for step, values in readings:
        for name, value in values.items():
            gathered.setdefault(name, []).append((step, float(value)))
    return [_points(name, pairs) for name, pairs in gathered.items()]


def _points(name: str, pairs: list[tuple[int, float]]) -> Points:
    steps = np.array([step for step, _ in pairs], np.int64)
    values = np.array([value for _, value in pairs], np.float64)
    gaps = np.diff(steps)
    if not len(gaps):
        return Points(name, int(steps[0]), 1, 1, None, values)
    if (gaps == gaps[0]).all():
        return Points(name, int(steps[0]), int(gaps[0]), len(steps), None, values)
    return Points(name, int(steps[0]), 0, len(steps), steps, values)
