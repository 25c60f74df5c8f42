"""The memory of this process's device: its peak in an attempt, what is free, and giving it back between runs.

NVIDIA's library (nvidia-ml-py, optional) measures a GPU without a CUDA context, which would itself take memory.
"""

import contextlib
import gc
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from service.spec.experiment import Experiment
from service.spec.memory import estimate_memory

PROCESS = Path("/proc/self")
RESET_PEAK = "5"  # written to clear_refs
SPARE_SHARE = 0.5  # of a GPU's memory must be free for a spare to take the device before it is needed


class PeakMemory:
    """The peak from its creation on: of torch's allocator, or on a CPU the growth of the resident memory."""

    def __init__(self, device: torch.device, process: Path = PROCESS) -> None:
        self._device, self._process = device, process
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            return
        with contextlib.suppress(OSError):  # without it the peak is that of all runs so far
            (process / "clear_refs").write_text(RESET_PEAK)
        self._before = self._status("VmRSS")

    def read(self) -> dict[str, float]:
        """Return the peak in bytes, on a GPU also of what is reserved; empty where the system does not tell."""
        if self._device.type == "cuda":
            peak, reserved = (
                torch.cuda.max_memory_allocated(self._device),
                torch.cuda.max_memory_reserved(self._device),
            )
            return {"peak_bytes": float(peak), "reserved_bytes": float(reserved)}
        now = self._status("VmHWM")
        return {} if now is None or self._before is None else {"peak_bytes": float(max(0, now - self._before))}

    def against_estimate(self, spec: Experiment) -> dict[str, float]:
        """Return the peak, and the estimate over it where both are known."""
        found, estimate = self.read(), estimate_memory(spec)
        if estimate is not None and found.get("peak_bytes", 0.0) > 0:
            ratio = round(estimate.total / found["peak_bytes"], 3)
            found |= {"estimate_bytes": float(estimate.total), "estimate_over_peak": ratio}
        return found

    def _status(self, name: str) -> int | None:
        """Return a line of /proc/self/status in bytes."""
        try:
            lines = (self._process / "status").read_text().splitlines()
        except OSError:
            return None
        return next((1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)


class ShareOfPeak(PeakMemory):
    """The peak of several runs that are trained together, in equal parts."""

    def __init__(self, whole: PeakMemory, runs: int) -> None:
        self._whole, self._runs = whole, runs

    def read(self) -> dict[str, float]:
        """Return one part in bytes."""
        return {name: value / self._runs for name, value in self._whole.read().items()}


def give_back(device: torch.device) -> None:
    """Free the device memory of the previous run for other processes."""
    gc.collect()  # a reference cycle may hold tensors
    if device.type == "cuda":
        torch.cuda.empty_cache()


def has_room_for_spare() -> bool:
    """Whether so much of the GPU's memory is free that a spare trainer may take the device; False if unknown."""
    free = free_share()
    return free is not None and free >= SPARE_SHARE


def free_share() -> float | None:
    """Return the free share of the memory of the first visible GPU; None if unknown."""
    library = _nvidia_library()
    if library is None:
        return None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    try:
        if visible.isdecimal():
            handle = library.nvmlDeviceGetHandleByIndex(int(visible))
        else:
            handle = library.nvmlDeviceGetHandleByUUID(visible)
        memory = library.nvmlDeviceGetMemoryInfo(handle)
        return float(memory.free / memory.total)
    except library.NVMLError:
        return None


def _nvidia_library() -> Any:
    """Return NVIDIA's library, initialised; None without it or without a driver."""
    try:
        library = import_module("pynvml")
    except ImportError:
        return None
    try:
        library.nvmlInit()
    except library.NVMLError:
        return None
    return library
