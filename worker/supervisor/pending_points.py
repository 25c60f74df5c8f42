"""Points that are not yet in the database, collected into one chunk per series."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.db.metrics.codec import Chunk, pack
from worker.protocol import Points


class Segment(NamedTuple):
    """Points of one series, (n,) each."""

    steps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


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
