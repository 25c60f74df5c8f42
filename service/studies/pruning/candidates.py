"""The trials that are judged together, and what becomes of one."""

import math
from dataclasses import dataclass
from typing import Literal

from service.spec.studies.study import Study
from service.studies.trial import Trial, TrialState


@dataclass(frozen=True)
class Decision:
    """What becomes of a waiting trial, and why."""

    verdict: Literal["continue", "stop", "wait"]
    why: str


@dataclass(frozen=True)
class Candidates:
    """The trials of one combination of scientific values, by number."""

    study: Study
    trials: tuple[Trial, ...]
    exhausted: bool  # no further trial will be asked

    @property
    def waiting(self) -> list[Trial]:
        """The trials to decide on."""
        return [trial for trial in self.trials if trial.state == TrialState.WAITING]

    @property
    def finished(self) -> list[Trial]:
        """The trials that were trained to their end, or diverged."""
        return [trial for trial in self.trials if trial.state == TrialState.FINISHED]

    def loss(self, value: float | None) -> float:
        """Return a value of the objective as a loss, lower is better; inf for a diverged one."""
        return math.inf if value is None else self.study.objective.sign * value

    def losses(self, trial: Trial) -> list[float]:
        """Return the losses of a trial at its rungs."""
        return [self.loss(value) for value in trial.rungs]

    def loss_at(self, trial: Trial, rung: int) -> float | None:
        """Return the loss of a trial at a rung, inf from where it diverged; None if it is not there yet, or failed."""
        if rung < len(trial.rungs):
            return self.loss(trial.rungs[rung])
        diverged = trial.state == TrialState.FINISHED and trial.value is None
        return math.inf if diverged else None

    def measured(self, rung: int) -> bool:
        """Return whether any trial has a value at a rung: one that lies before the first evaluation has none."""
        return any(rung < len(trial.rungs) and trial.rungs[rung] is not None for trial in self.trials)


def text(value: float) -> str:
    """Return a value as in a sentence."""
    return f"{value:.4g}"
