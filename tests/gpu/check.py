"""What every check shares: the device it runs on, and how its figures are printed.

A check is a module of tests/gpu/checks with a docstring (its first line is the title), `LIMIT_S`, and `check()`, which
returns figures and raises AssertionError where a promise is broken. `RUNS_ON_CPU = True` says that its logic also runs
on a CPU, in a few seconds: tests/gpu/test_checks.py runs it there. It ends with

    if __name__ == "__main__":
        main(check)
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

DEVICE_VARIABLE = "SADDLE_CHECK_DEVICE"


def device() -> "torch.device":
    """Return the device to check: that of --device, else cuda:0."""
    import torch

    return torch.device(os.environ.get(DEVICE_VARIABLE, "cuda:0"))


def main(check: Callable[[], dict[str, float | str]]) -> None:
    """Run a check as a process of its own, with a trainer's settings; its figures are the last line of stdout."""
    parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
    parser.add_argument("--device", default=os.environ.get(DEVICE_VARIABLE, "cuda:0"))
    os.environ[DEVICE_VARIABLE] = parser.parse_args().device
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as worker.trainer sets it
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
    print(json.dumps(check()), flush=True)
