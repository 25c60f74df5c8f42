"""The device and environment of a trainer that determine a run's numbers."""

import contextlib
import os
import platform
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import torch

from service.spec import plugins
from service.spec.experiment import Experiment
from service.spec.optimizers import OptimizerBase
from worker.trainer.numerics import numerics

PACKAGES = (
    "schedulefree",
    "pytorch-optimizer",
    "torchvision",
    "timm",
    "scikit-learn",
)  # that affect a training


def optimizer_policy(optimizer: OptimizerBase, device: torch.device, sparse: bool = False) -> dict[str, bool]:
    """Return the implementation switches of an optimizer, recorded with the attempt because they decide the last bit.

    On the CPU (MLP of 8.9k parameters, batch 128, one thread, us a step with default | plain loop | foreach | fused):
    SGD 374 | 361 | 380 | 374, AdamW 589 | 566 | 563 | 426, RMSprop 502 | 489 | 498 | -, Adagrad 484 | 465 | 500 | 415.
    The plain loop equals torch's default bit for bit. Fused differs from it in the last bit (it is as deterministic),
    so it is used only if it saves a quarter of the step. None is for sparse gradients, which a model may have.

    On a GPU, an optimizer that would read its counters from the device computes with them there.
    """
    on_cpu = device.type == "cpu"
    if ("cpu" if on_cpu else "cuda") in optimizer.fused_on and not (sparse and optimizer.sparse):
        return {"fused": True}
    found = {"foreach": not on_cpu} if "foreach" in optimizer.left_out else {}
    return found | {"capturable": True} if optimizer.counts_on_device and not on_cpu else found


def environment(device: torch.device, threads: int, spec: Experiment | None = None) -> dict[str, Any]:
    """Return what must agree for two runs of one spec and seed to be equal bit for bit; with the plug-ins of `spec`."""
    return {
        "device": str(device),
        "device_name": device_name(device),
        "threads": threads,
        "torch": torch.__version__,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "saddle": _version("saddle") or "unknown",  # run from a checkout that is not installed
        "packages": _package_versions() | plugins.used_packages(spec),
        "code": plugins.used_code(spec),
    } | numerics(device)


def environment_differences(before: dict[str, Any], now: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the differences that may change the last bits: name -> [before, now]."""
    both = before.keys() & now.keys() | {"pack"} & (before.keys() | now.keys())  # an older release recorded fewer
    return {name: [before.get(name), now.get(name)] for name in sorted(both) if before.get(name) != now.get(name)}


def describe_device(device: torch.device, threads: int) -> dict[str, Any]:
    """Return the description of a worker's device for users."""
    cuda = device.type == "cuda"
    if cuda:
        memory = torch.cuda.get_device_properties(device).total_memory
    else:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"kind": device.type, "name": device_name(device), "memory_bytes": memory, "threads": threads}


def usage(device: torch.device) -> dict[str, float]:
    """Return the GPU memory of this process and, with NVIDIA's library, the GPU's utilisation in percent.

    Tensors use part of the reserved memory. The peak is that of the attempt. Nothing waits for the device.
    """
    values = {
        "device_memory_bytes": float(torch.cuda.memory_allocated(device)),
        "device_memory_peak_bytes": float(torch.cuda.max_memory_allocated(device)),
        "device_memory_reserved_bytes": float(torch.cuda.memory_reserved(device)),
    }
    try:
        library = import_module("pynvml")
    except ImportError:
        return values
    with contextlib.suppress(ImportError, RuntimeError, library.NVMLError):  # no driver, or no permission
        values["device_utilisation"] = float(torch.cuda.utilization(device))
    return values


def device_name(device: torch.device) -> str:
    """Return the hardware's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"  # the instruction set picks the kernels


@cache  # reading metadata takes 10 ms, and imported packages do not change
def _package_versions() -> dict[str, str]:
    return {name: found for name in PACKAGES if (found := _version(name))}


@cache
def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
