"""What a sampler is asked: the space of one combination, and the trials in it so far.

Placing a thousand trials in the space takes longer than sampling, so what was computed for a trial is kept by process;
it is computed again where the trial has changed, so that an answer never depends on what is kept.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

from service.spec.studies.space import Leaf, Point, Space, draw, leaves, locate
from service.spec.studies.study import Study
from service.studies.trial import Trial, TrialState

T = TypeVar("T")
Known = dict[int, tuple[Trial, Any]]


@dataclass(frozen=True)
class Placed:
    """A trial that lies in the space: its active dimensions with their unit values, by name."""

    trial: Trial
    units: dict[str, tuple[Leaf, float]]


@dataclass(frozen=True)
class Question:
    """The space of one combination of scientific values, its trials by number, and the number of the new one."""

    study: Study
    space: Space
    trials: tuple[Trial, ...]
    number: int
    key: str  # describes study and space completely; empty: keep nothing

    @property
    def placed(self) -> list[Placed]:
        """The trials that lie in the space; a failed one says nothing about its point."""
        useful = [trial for trial in self.trials if trial.state != TrialState.FAILED]
        return [each for each in self.of_each(useful, "placed", self._place) if each is not None]

    def _place(self, trial: Trial) -> Placed | None:
        units = locate(self.space, trial.point)
        return None if units is None else Placed(trial, units)

    def of_each(self, trials: Sequence[Trial], purpose: str, compute: Callable[[Trial], T]) -> list[T]:
        """Return `compute(trial)` for each trial, kept under `purpose`."""
        known = _known(purpose, self.key) if self.key else {}
        found: list[T] = []
        for trial in trials:
            entry = known.get(trial.number)
            if entry is None or entry[0] != trial:
                entry = known[trial.number] = (trial, compute(trial))
            found.append(entry[1])
        return found

    @property
    def names(self) -> list[str]:
        """The names of the dimensions that have more than one value, of all options."""
        return [leaf.name for leaf in leaves(self.space) if leaf.dimension.count != 1]

    def random(self, purpose: str = "") -> random.Random:
        """Return a generator that depends on the study's seed and the trial's number alone."""
        return random.Random(f"{self.study.seed}:{self.number}:{purpose}")  # noqa: S311  nothing is secret

    def random_point(self) -> Point:
        """Return a random point."""
        generator = self.random()
        return draw(self.space, lambda leaf: leaf.dimension.at(generator.random()))

    def loss(self, trial: Trial) -> float | None:
        """Return what a trial says of its point, lower is better: inf if it diverged, None if it says nothing yet.

        A trial that was stopped at a rung, or is open beyond one, counts with its last rung: halving keeps most trials
        waiting to the end, and a sampler that did not hear of them would learn from the few that finished.
        """
        if trial.state == TrialState.FINISHED:
            value = trial.value
        elif trial.judged and trial.rungs:
            value = trial.rungs[-1]
        else:
            return None
        return float("inf") if value is None else self.study.objective.sign * value


@lru_cache(maxsize=256)
def _known(purpose: str, key: str) -> Known:
    return {}
