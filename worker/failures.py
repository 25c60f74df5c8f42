"""From an exception in a training to the failure that is stored with the run."""

import torch

from service.errors import RunFailure

NO_MEMORY = ("can't allocate memory", "not enough memory")  # torch's CPU allocator says so in a RuntimeError
DETAIL = 500  # characters
# After these the process is as clean as before.
STAYS_USABLE = {"diverged", "spec_cannot_build", "checkpoint_damaged", "dataset_missing", "dataset_changed"}


def failure_of(error: Exception, step: int | None, building: bool = False) -> RunFailure:
    """Why the run failed, from `error`, which came up after `step` updates or while the spec was built."""
    if isinstance(error, RunFailure):
        return error
    return RunFailure(_kind(error, building), described(error), step, {"error": type(error).__name__})


def _kind(error: Exception, building: bool) -> str:
    if isinstance(error, torch.OutOfMemoryError):
        return "cuda_oom"
    if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY):
        return "out_of_memory"
    if building and not isinstance(error, torch.AcceleratorError):  # a broken device is not the spec's fault
        return "spec_cannot_build"
    return "crashed"


def described(error: Exception) -> str:
    """Type and message on one line of bounded length, without characters that Postgres would refuse."""
    text = " ".join(f"{type(error).__name__}: {error}".replace("\x00", "").split())
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= DETAIL else text[: DETAIL - 3] + "..."
