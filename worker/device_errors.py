"""What a GPU's error means: whose failure it is, and its likely cause in plain words.

The texts are those of CUDA (`cudaGetErrorString`), its libraries, torch and NCCL; docs/decisions.md names the sources.
Assertions inside a GPU operation go to the trainer's stderr only, so both sides of the pipe read texts here.
"""

import re
from typing import NamedTuple

LATE = (
    "A GPU reports errors late, so the fault may lie before the step named. On the CPU, or with CUDA_LAUNCH_BLOCKING=1 "
    "in the worker's environment, the run stops at the operation itself."
)


class DeviceError(NamedTuple):
    """The meaning of an error.

    kind: `crashed` is the run's failure; `device_error` may be the device's, which a fresh trainer decides.
    late: a later operation than the failed one raises it, and every further operation fails too.
    """

    pattern: re.Pattern[str]
    kind: str
    cause: str
    late: bool = False

    def explanation(self) -> str:
        """Return the cause, and where to look for it."""
        return f"{self.cause} {LATE}" if self.late else self.cause


def _row(pattern: str, kind: str, cause: str, late: bool = False) -> DeviceError:
    return DeviceError(re.compile(pattern, re.IGNORECASE), kind, cause, late)


# Of data: a CPU raises them as an IndexError or a RuntimeError, a GPU as an assertion
DATA_ERRORS = (
    _row(
        r"\b(t|cur_target) >= 0 && (t|cur_target) < n_classes|Target -?\d+ is out of bounds",
        "crashed",
        "A label is outside 0..K-1, K being the number of the model's outputs: look at the smallest and the largest.",
    ),
    _row(
        r"index out of bounds|index out of range in self|index -?\d+ is out of bounds for dimension"
        r"|srcIndex < srcSelectDimSize|dstIndex < dstAddDimSize|ind >= ?0 && ind < ind_dim_size",
        "crashed",
        "An index is outside its tensor: often a token or category that is not below the number of embeddings.",
    ),
    _row(
        r"input_val >= zero && input_val <= one|all elements of input should be between 0 and 1",
        "crashed",
        "A probability is NaN or outside 0..1: use a loss that takes logits, and look for an earlier NaN.",
    ),
)
DEVICE_TEXT = re.compile(
    r"CUDA (driver )?error|CUDA out of memory|CUDA_ERROR_|HIP (error|out of memory)|Triton Error \[CUDA\]|Cuda failure"
    r"|(CUBLAS|CUDNN|CUSOLVER|CUSPARSE|CUFFT)_|cuDNN (Frontend )?error|cusolver error"
    r"|NCCL (error|timeout|communicator)|Watchdog caught collective operation timeout"
    r"|unable to find an engine to execute this computation|fallen off the bus",
    re.IGNORECASE,
)
DEVICE_ERRORS = (
    _row(r"HOST_ALLOCATION_FAILED", "out_of_memory", "The host's memory is full."),
    _row(
        r"out of memory|CUDA_ERROR_OUT_OF_MEMORY|ALLOC_FAILED|ALLOCATION_FAILED",
        "cuda_oom",
        "The GPU's memory is full, of this run or of something else on it: try a smaller batch.",
    ),
    _row(
        r"device-side assert triggered|CUDA_ERROR_ASSERT",  # torch mentions "device-side assertions" in every error
        "crashed",
        "A check inside a GPU operation failed: usually a label or an index is out of range.",
        late=True,
    ),
    _row(
        r"illegal memory access|CUDA_ERROR_ILLEGAL_ADDRESS|misaligned address|invalid program counter"
        r"|operation not supported on global/shared address space",
        "crashed",
        "An operation left its tensor: an index out of range, more than 2**31 elements, or an error in a compiled or "
        "third-party operation.",
        late=True,
    ),
    _row(
        r"invalid configuration argument|too many resources requested for launch|too many blocks in cooperative launch"
        r"|cluster misconfiguration",
        "crashed",
        "A tensor is too large or too small for one launch of an operation: try another batch size.",
    ),
    _row(
        r"no kernel image is available|invalid device function|device kernel image is invalid|unsupported toolchain"
        r"|driver version is insufficient|ARCH_MISMATCH",
        "crashed",
        "This build of torch, or a library that the run uses, has no code for this GPU or its driver.",
    ),
    _row(
        r"invalid argument|INVALID_VALUE|NOT_SUPPORTED|BAD_PARAM|unable to find an engine|invalid resource handle",
        "crashed",
        "A library has no operation for these shapes and types on this GPU.",
    ),
    _row(
        r"uncorrectable ECC|NVLink|hardware (stack )?error|fallen off the bus|no CUDA-capable device"
        r"|busy or unavailable|system not yet initialized|initialization error|driver shutting down"
        r"|MPS (client|server)",
        "device_error",
        "The GPU reports a fault of its own or is not available: look for Xid lines in the host's kernel log.",
        late=True,
    ),
    _row(
        r"launch timed out",
        "device_error",
        "An operation ran longer than the driver allows, as on a GPU that also drives a display.",
        late=True,
    ),
    _row(
        r"unspecified launch failure|CUDA_ERROR_LAUNCH_FAILED|illegal instruction",
        "device_error",
        "An operation was aborted on the GPU: an error in it, or a fault of the GPU.",
        late=True,
    ),
    _row(
        r"NCCL|Watchdog caught",
        "device_error",
        "The GPUs of the run lost each other: one of its processes failed, or the link between them.",
        late=True,
    ),
    _row(
        r"NOT_INITIALIZED",
        "device_error",
        "A CUDA library could not start: mostly the GPU's memory is nearly full, or an earlier operation failed.",
        late=True,
    ),
)
UNKNOWN = _row(r"", "device_error", "A CUDA operation failed; often an earlier operation is the reason.", late=True)


def explain(text: str) -> DeviceError | None:
    """Return what a text says about data or a device; None if it says nothing about either."""
    rows = (*DATA_ERRORS, *DEVICE_ERRORS, UNKNOWN) if is_about_device(text) else DATA_ERRORS
    return next((row for row in rows if row.pattern.search(text)), None)


def is_about_device(text: str) -> bool:
    """Whether a text is an error of CUDA or of one of its libraries."""
    return DEVICE_TEXT.search(text) is not None


def failed_assertion(output: str) -> str | None:
    """Return the first line of an output that names a failed assertion inside a GPU operation."""
    return next((line.strip() for line in output.splitlines() if ASSERTION.search(line)), None)


ASSERTION = re.compile(r"block: \[\d+,\d+,\d+\], thread: \[\d+,\d+,\d+\] Assertion `.+` failed")
