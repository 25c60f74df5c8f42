"""The conversion of an exception in a training to the failure that is stored with the run."""

import json
from typing import Any

import torch

from service.errors import RunFailure
from service.spec.experiment import Experiment
from service.spec.memory import estimate_memory
from worker.device_errors import UNKNOWN, DeviceError, explain, is_about_device
from worker.trainer.numerics import refused_operation

NO_MEMORY = ("can't allocate memory", "not enough memory")  # in a RuntimeError of torch's CPU allocator
MAX_DETAIL = 500  # characters
REUSABLE_AFTER = {
    *("diverged", "spec_cannot_build", "nondeterministic"),
    *("checkpoint_damaged", "dataset_missing", "dataset_changed"),
}


def run_failure_of(error: Exception, step: int | None, building: bool = False) -> RunFailure:
    """Return why the run failed; `error` occurred after `step` updates, or while the spec was built."""
    if isinstance(error, RunFailure):
        return error
    if (refused := refused_operation(error, step)) is not None:
        return refused
    known, evidence = _explain(error), {"error": type(error).__name__}
    if known is not None:
        evidence["cause"] = known.explanation()
    return RunFailure(_kind(error, known, building), describe_error(error), step, evidence)


def _kind(error: Exception, known: DeviceError | None, building: bool) -> str:
    words = str(error)
    if isinstance(error, torch.OutOfMemoryError):
        return "cuda_oom"
    if known is not None and _is_from_device(error):
        return known.kind
    if isinstance(error, MemoryError) or any(refusal in words for refusal in NO_MEMORY):
        return "out_of_memory"
    return "spec_cannot_build" if building else "crashed"


def _explain(error: Exception) -> DeviceError | None:
    return explain(str(error)) or (UNKNOWN if _is_from_device(error) else None)


def _is_from_device(error: Exception) -> bool:
    return isinstance(error, torch.AcceleratorError) or is_about_device(str(error))


def loses_device(error: Exception) -> bool:
    """Whether everything that this process still does on the device fails too."""
    known = _explain(error)
    return known is not None and known.late and _is_from_device(error)


def memory_evidence(spec: dict[str, Any], facts: dict[str, Any]) -> dict[str, int | None]:
    """Return the memory a training was estimated to need and what the device has, in bytes."""
    estimate = estimate_memory(Experiment.model_validate_json(json.dumps(spec)))
    return {"estimate_bytes": None if estimate is None else estimate.total, "limit_bytes": facts.get("memory_bytes")}


def describe_error(error: Exception) -> str:
    """Return type and message on one line of bounded length, without characters that Postgres refuses."""
    text = " ".join(f"{type(error).__name__}: {error}".replace("\x00", "").split())
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_DETAIL else text[: MAX_DETAIL - 3] + "..."
