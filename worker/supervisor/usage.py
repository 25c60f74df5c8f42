"""Speed and resource usage of a trainer, sampled by its supervisor when points arrive.

Processor time and memory come from Linux's /proc/PID, so the training loop does nothing for it. The values of a GPU
come from the trainer, once a second.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from service.db.metrics.read import SYSTEM_PREFIX
from worker.protocol import SeriesHeader, SystemUsage

PROC = Path("/proc")
FIRST_PERIOD_S = 2.0  # from the first points to the first values, unless `period_s` is shorter


class Sample(NamedTuple):
    """Counters at one moment."""

    at: float  # monotonic
    step: int
    cpu_s: float | None


class UsageSampler:
    """Samples one trainer, attempt after attempt. All calls come from the thread that reads its pipe."""

    def __init__(self, pid: int, period_s: float, proc: Path = PROC) -> None:
        self.period_s, self._folder = period_s, proc / str(pid)
        self._rows_per_step = 0
        self.device_values: dict[str, float] = {}  # last values of the GPU
        self._last: Sample | None = None
        self._due = 0.0  # monotonic

    def begin(self, rows_per_step: int) -> None:
        """Begin another attempt."""
        self._rows_per_step, self._last, self.device_values = rows_per_step, None, {}

    def sample(self, series: Sequence[SeriesHeader], now: float | None = None) -> SystemUsage | None:
        """Return the usage at the last step of these points, if a sample is due and a step has passed."""
        now = time.monotonic() if now is None else now
        step = next((part["first"] + part["n"] - 1 for part in series if part["name"] == "loss"), 0)
        if not step or (self._last is not None and (now < self._due or step <= self._last.step)):
            return None
        before, self._last = self._last, Sample(now, step, cpu_s(self._folder))
        self._due = now + (min(FIRST_PERIOD_S, self.period_s) if before is None else self.period_s)
        if before is None:
            return None
        values = self._rates(before, self._last) | self.device_values
        if (resident := resident_bytes(self._folder)) is not None:
            values["host_memory_bytes"] = float(resident)
        return {"step": step, "values": {SYSTEM_PREFIX + name: value for name, value in values.items()}}

    def _rates(self, before: Sample, after: Sample) -> dict[str, float]:
        """Return the rates between two samples; the processor in percent of one core, as `top` shows it."""
        seconds = after.at - before.at
        steps_per_s = (after.step - before.step) / seconds
        values = {"steps_per_s": steps_per_s, "samples_per_s": steps_per_s * self._rows_per_step}
        if before.cpu_s is not None and after.cpu_s is not None:
            values["cpu_percent"] = 100 * (after.cpu_s - before.cpu_s) / seconds
        return values


def cpu_s(folder: Path) -> float | None:
    """Return the processor seconds of all threads of a process; None where /proc does not exist."""
    try:
        fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()  # the name before may hold spaces
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(folder: Path) -> int | None:
    """Return the bytes of a process in RAM, shared pages included; None where /proc does not exist."""
    try:
        return int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
