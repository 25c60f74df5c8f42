"""The devices of this machine. `python -m worker.trainer.devices` prints their list for a local start.

Without a GPU driver the answer takes milliseconds. Only with one is torch imported, which takes seconds, because it may
be a build for the CPU or for another driver.
"""

import ctypes
import json
import sys
from pathlib import Path


def has_gpu() -> bool:
    """Whether a driver reports a GPU."""
    if Path("/dev/kfd").exists():  # AMD's
        return True
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def devices() -> list[str]:
    """Return every GPU, or the CPU if there is none."""
    if not has_gpu():
        return ["cpu"]
    import torch  # noqa: PLC0415

    found = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if not found:
        sys.stderr.write(f"there is a GPU, and torch {torch.__version__} cannot use it: training on the CPU\n")
    return found or ["cpu"]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(devices()) + "\n")
