"""What a trainer takes of the machine and how fast it steps: looked at by its supervisor when points arrive.

The training loop has no part in it: the processor and the memory are read from Linux's /proc/PID, which takes no lock
of the process; what only the trainer knows of a GPU its flusher says once a second.
"""

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

from service.db.metrics.read import SYSTEM_PREFIX

PROC = Path("/proc")
FIRST_S = 2.0  # after the first points; or `every_s` where that is shorter


class Look(NamedTuple):
    """The last one."""

    at: float  # monotonic
    step: int
    cpu_s: float | None


class Usage:
    """Of one trainer, attempt after attempt. All calls come from the thread that reads its pipe."""

    def __init__(self, pid: int, every_s: float, proc: Path = PROC) -> None:
        self.every_s, self._folder = every_s, proc / str(pid)
        self._rows = 0  # of a step
        self._device: dict[str, float] = {}
        self._before: Look | None = None
        self._due = 0.0  # monotonic

    def begin(self, rows_per_step: int) -> None:
        """Another attempt has started."""
        self._rows, self._before, self._device = rows_per_step, None, {}

    def device(self, said: dict[str, float]) -> None:
        """What the trainer says of its GPU."""
        self._device = said

    def look(self, series: list[dict[str, Any]], now: float | None = None) -> dict[str, Any] | None:
        """`{step, values}` when a look is due and a step has passed; `series` as in the frame that has arrived."""
        now = time.monotonic() if now is None else now
        step = next((entry["first"] + entry["n"] - 1 for entry in series if entry["name"] == "loss"), 0)
        if not step or (self._before is not None and (now < self._due or step <= self._before.step)):
            return None
        before, self._before = self._before, Look(now, step, cpu_s(self._folder))
        self._due = now + (min(FIRST_S, self.every_s) if before is None else self.every_s)
        if before is None:
            return None
        values = self._speed(before, self._before) | self._device
        if (resident := resident_bytes(self._folder)) is not None:
            values["host_memory_bytes"] = float(resident)
        return {"step": step, "values": {SYSTEM_PREFIX + name: value for name, value in values.items()}}

    def _speed(self, before: Look, after: Look) -> dict[str, float]:
        """Between two looks; the processor in percent of one core, as `top` shows it."""
        seconds = after.at - before.at
        steps_per_s = (after.step - before.step) / seconds
        values = {"steps_per_s": steps_per_s, "samples_per_s": steps_per_s * self._rows}
        if before.cpu_s is not None and after.cpu_s is not None:
            values["cpu_percent"] = 100 * (after.cpu_s - before.cpu_s) / seconds
        return values


def cpu_s(folder: Path) -> float | None:
    """Processor seconds of a process, all threads; None where the system does not tell."""
    try:
        fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()  # a name may hold spaces
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(folder: Path) -> int | None:
    """Memory of a process that is in RAM, with what it shares; None where the system does not tell."""
    try:
        return int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None
