"""Points that are not yet in the database, collected into one chunk per series; the newest of them for the log."""

from collections.abc import Mapping
from struct import unpack_from
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.db.metrics.codec import Chunk, pack
from worker.protocol import Points, SeriesHeader
from worker.supervisor.output import Pace

SHOWN = ("loss", "lr")
EVALUATED = ("val/", "train/", "test/")
MAX_SHOWN = 8  # results in a line


class Segment(NamedTuple):
    """Points of one series, (n,) each."""

    steps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


class Results:
    """The newest values of a run's results, as its log tells them: of the loss and the rate, and of evaluations."""

    def __init__(self) -> None:
        self._paces = {"training": Pace(), "evaluation": Pace()}
        self._values: dict[str, float] = {}

    def line(self, frame: Points, now: float) -> str | None:
        """Return a line about the points of a frame where one is due at `now` (monotonic seconds)."""
        new, step, at = dict[str, float](), 0, 0
        for header in frame.series:
            at += 8 * header["n"] * (1 if header["every"] else 2)
            if header["name"] in SHOWN or header["name"].startswith(EVALUATED):
                (new[header["name"]],) = unpack_from("<d", frame.payload, at - 8)
                step = _last_step(header, frame.payload, at)
        self._values |= dict(list(new.items())[:MAX_SHOWN])
        kind = "evaluation" if any(name.startswith(EVALUATED) for name in new) else "training"
        return f"step {step}: {_listed(new)}" if new and self._paces[kind].is_due(now) else None

    def __str__(self) -> str:
        """The newest value of each."""
        return _listed(self._values)


def _last_step(header: SeriesHeader, payload: bytes, end: int) -> int:
    n, every = header["n"], header["every"]
    if every:
        return header["first"] + (n - 1) * every
    (step,) = unpack_from("<q", payload, end - 8 * n - 8)
    return int(step)


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.6g}" for name, value in list(values.items())[:MAX_SHOWN])


class PendingPoints:
    """Collects the points of frames until `take` returns them as chunks."""

    def __init__(self) -> None:
        self._series: dict[str, list[Segment]] = {}
        self.count = 0
        self.last_step = 0

    def add(self, frame: Points) -> None:
        """Add the points of one frame, and the usage of the machine at its last step."""
        at = 0
        for header in frame.series:
            n, first, every = header["n"], header["first"], header["every"]
            if every:
                steps = first + every * np.arange(n, dtype=np.int64)
            else:
                steps = np.frombuffer(frame.payload, "<i8", n, at).astype(np.int64)
                at += 8 * n
            self._append(header["name"], Segment(steps, np.frombuffer(frame.payload, "<f8", n, at).astype(np.float64)))
            at += 8 * n
            self.last_step = max(self.last_step, int(steps[-1]))
        if frame.usage is not None:
            steps = np.array([frame.usage["step"]], np.int64)
            for name, value in frame.usage["values"].items():
                self._append(name, Segment(steps, np.array([value], np.float64)))

    def _append(self, name: str, part: Segment) -> None:
        self._series.setdefault(name, []).append(part)
        self.count += len(part.steps)

    def take(self) -> dict[str, Chunk]:
        """Return and clear everything collected, one chunk per series."""
        taken, self._series, self.count = self._series, {}, 0
        return {name: _chunk(parts) for name, parts in taken.items()}


def _chunk(parts: list[Segment]) -> Chunk:
    steps, values = zip(*parts, strict=True)
    return pack(np.concatenate(steps), np.concatenate(values))
