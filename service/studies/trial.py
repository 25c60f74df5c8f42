"""A trial as samplers and pruners see it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class TrialState(StrEnum):
    """Where a trial is."""

    RUNNING = "running"  # some run of it is queued or in training
    WAITING = "waiting"  # all its runs are paused at a rung
    FINISHED = "finished"
    PRUNED = "pruned"
    FAILED = "failed"  # cancelled by hand, or lost for a reason other than divergence: its point is given out again


OPEN = (TrialState.RUNNING, TrialState.WAITING)


@dataclass(frozen=True)
class Trial:
    """One point of the space and what is known of it."""

    number: int  # 0, 1, ...
    point: Mapping[str, Any]  # pointer -> value, of the active dimensions
    state: TrialState
    rungs: tuple[float | None, ...] = ()  # objective, mean over seeds, at each rung reached; None: diverged
    value: float | None = None  # final objective of a finished trial; None: diverged

    @property
    def open(self) -> bool:
        """Whether it may still be trained."""
        return self.state in OPEN

    @property
    def judged(self) -> bool:
        """Whether its last rung says what its point is worth: it was stopped there, or is open and has a value."""
        return self.state == TrialState.PRUNED or (self.open and any(each is not None for each in self.rungs))
