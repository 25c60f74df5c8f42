"""How torch computes a run's numbers: the float type, the precision of fp32 operations, and determinism.

These settings belong to the process, and a trainer serves many runs, so each run sets all of them when it starts.
"""

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import torch.utils.deterministic

from service.errors import RunFailure
from service.spec.training import Determinism, Precision

MODES: dict[Determinism, str] = {"strict": "error", "warn": "warn", "off": "default"}  # torch's debug modes
WORDS: dict[int, Determinism] = {2: "strict", 1: "warn", 0: "off"}
FILL = "fill_uninitialized_memory"  # missing from torch's type hints
REPORTS = (  # what torch says of an operation without a deterministic kernel, and how the operation is named
    (re.compile(r"(\S+) does not have a deterministic implementation"), ""),
    (re.compile(r"Memory Efficient attention defaults to a non-deterministic algorithm"), "memory-efficient attention"),
    (re.compile(r"Deterministic behavior was enabled .* because it uses CuBLAS"), "a product by cuBLAS"),
)


def set_numerics(precision: Precision, determinism: Determinism, device: torch.device) -> None:
    """Set precision and determinism for one run.

    Torch computes convolutions and recurrent cells in TF32 on a GPU unless told otherwise, so fp32 has to be set too.
    TF32 exists on NVIDIA GPUs only; elsewhere `tf32` computes in fp32. CUBLAS_WORKSPACE_CONFIG must be set before CUDA
    starts.
    """
    torch.set_default_dtype(torch.float64 if precision == "fp64" else torch.float32)
    set_fp32_products(tf32=precision == "tf32" and device.type == "cuda")
    for matmul in ("allow_bf16_reduced_precision_reduction", "allow_fp16_reduced_precision_reduction"):
        setattr(torch.backends.cuda.matmul, matmul, True)  # torch's default
    set_deterministic(determinism)
    setattr(torch.utils.deterministic, FILL, False)  # nothing reads such memory; filling it costs time
    torch.backends.cudnn.enabled = True
    torch.backends.cudnn.benchmark = determinism == "off"  # it chooses algorithms by timing


def float_type() -> np.dtype[Any]:
    """Return the type of the run's weights and rows, for numpy."""
    return np.dtype(np.float64 if torch.get_default_dtype() == torch.float64 else np.float32)


def set_fp32_products(tf32: bool) -> None:
    """Set the precision of fp32 products in each backend.

    Torch has an older interface for the same settings, and raises an error if the two disagree; so both are set.
    """
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    for operation in _fp32_operations("cuda").values():
        operation.fp32_precision = "tf32" if tf32 else "ieee"
    for operation in _fp32_operations("cpu").values():
        operation.fp32_precision = "ieee"  # oneDNN can do less on some CPUs


def uses_tf32() -> bool:
    """Whether fp32 products are computed in TF32 on a GPU."""
    return bool(_fp32_operations("cuda")["matmul"].fp32_precision == "tf32")


def set_deterministic(determinism: Determinism) -> None:
    """Do what torch.use_deterministic_algorithms does, without importing the compiler."""
    torch.set_deterministic_debug_mode(MODES[determinism])


def current_determinism() -> Determinism:
    """Return the setting of this process."""
    return WORDS[torch.get_deterministic_debug_mode()]


def numerics(device: torch.device) -> dict[str, Any]:
    """Return what decides the numbers of this process, for the attempt's environment."""
    products = {name: operation.fp32_precision for name, operation in _fp32_operations(device.type).items()}
    return {
        "determinism": current_determinism(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "fp32_products": products,
    }


def _fp32_operations(kind: str) -> dict[str, Any]:
    backends: Any = torch.backends
    if kind == "cuda":
        return {"matmul": backends.cuda.matmul, "convolution": backends.cudnn.conv, "rnn": backends.cudnn.rnn}
    return {"matmul": backends.mkldnn.matmul, "convolution": backends.mkldnn.conv, "rnn": backends.mkldnn.rnn}


def nondeterministic_operation(message: str) -> str | None:
    """Return the operation that torch's message says has no deterministic kernel; None for any other message."""
    for pattern, name in REPORTS:
        if found := pattern.search(message):
            return name or found[1]
    return None


def refused_operation(error: Exception, step: int | None) -> RunFailure | None:
    """Return the failure if `determinism: strict` refused an operation; a further attempt would fail the same way."""
    if not isinstance(error, RuntimeError) or (name := nondeterministic_operation(str(error))) is None:
        return None
    detail = (
        f"{name} has no deterministic kernel on this device, and /determinism is strict: set it to warn to train "
        "with it, without the promise that a repeated run gives the same bits."
    )
    return RunFailure("nondeterministic", detail, step, {"operation": name})


@contextmanager
def report_nondeterminism(report: Callable[[str], None]) -> Iterator[None]:
    """Call `report` once with each operation that torch warns about; other warnings are shown as before."""
    seen, show_others = set[str](), warnings.showwarning

    def show(message: Warning | str, *arguments: Any, **options: Any) -> None:
        name = nondeterministic_operation(str(message))
        if name is None:
            show_others(message, *arguments, **options)
        elif name not in seen:
            seen.add(name)
            report(name)

    with warnings.catch_warnings():
        for pattern, _ in REPORTS:  # "always": otherwise a place that warned in an earlier run would stay silent
            warnings.filterwarnings("always", f".*{pattern.pattern}")
        warnings.showwarning = show
        yield
