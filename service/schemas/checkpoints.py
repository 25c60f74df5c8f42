"""Checkpoints of a run."""

from pydantic import Field

from service.schemas.common import Number, Utc, View


class CheckpointView(View):
    """The state of a run after an update; `kept` says whether its files are still there."""

    step: int
    attempt: int
    reason: str = Field(
        description="due, best (of the watched series), end, wish (paused or drained), or escape (a probe job's)"
    )
    value: Number | None = Field(description="of the watched series, where it was the best so far")
    size_bytes: int
    sha256: str = Field(description="of state.json and tensors.safetensors, each after a line with name and length")
    created_at: Utc
    damaged: bool
    kept: bool
    removed_at: Utc | None


class CheckpointsView(View):
    """A run's checkpoints, newest first; at most a thousand."""

    items: list[CheckpointView]
