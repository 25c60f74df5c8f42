"""What is trained beside runs of one pack: each training is made once, for the run that needs it first.

None of these trainings reads a run's optimizer, rate or schedule. Runs of one spec but for these and the seed are a
family: it has one simple model, and fresh weights by seed. A run alone is a family of its own.
"""

import json
import math
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from service.spec.packs import OWN
from worker.trainer.probes.learnability.rows import Rows, batch_size
from worker.trainer.probes.learnability.trial import Levels
from worker.trainer.probes.measurement import ProbedTraining

SHARE, LEAST_S, MOST_S = 0.1, 5.0, 60.0  # of the device time that runs took, and bounds in seconds
FAMILIES = 8  # of a pack: their trainings take at most as many times the least
NEAREST = 3  # runs of other seeds that one is compared with
NOT_READ = (OWN - {"inits"}) | {"optimizer", "schedule", "schedule_unit", "clip", "stop"}  # parts of a spec


@dataclass(frozen=True)
class Origin:
    """The run that something was trained for."""

    run: str  # its id
    seed: int

    def as_json(self, seed: int) -> dict[str, Any]:
        """Return what a reading of a run of this seed says of it; the seed where it is another one."""
        return {"run": self.run} | ({} if seed == self.seed else {"seed": self.seed})


@dataclass
class FreshWeights:
    """The model on the first weights of a seed, trained under Adam at the best rate, and on shuffled targets."""

    origin: Origin
    reached: float  # loss of the run that it was trained for, on the rows to judge by
    loss: float  # its own there
    best: dict[str, Any]
    rates: list[list[float]]
    seconds: float
    control: dict[str, Any] | None = None


@dataclass
class Family:
    """What the trainings beside runs of a family are compared with, and what was trained."""

    origin: Origin
    constant: tuple[Tensor, Levels]  # the best constant answer on the training rows, and that of each part
    other: dict[str, Any] | None
    fresh: dict[int, FreshWeights] = field(default_factory=dict)  # by seed

    def affords(self, seconds: float) -> bool:
        """Whether one more search takes no longer than this; the first one takes what there is."""
        return seconds >= max((each.seconds for each in self.fresh.values()), default=0.0)

    def instead(self, reached: float) -> FreshWeights:
        """Return another seed's weights for a run with this loss.

        Of the three whose runs ended nearest to it, so that a bad start is held against bad starts, those that reached
        the middle: one lucky start would blame the settings of all others.
        """

        def distance(each: FreshWeights) -> float:
            apart = abs(each.reached - reached)
            return apart if math.isfinite(apart) else math.inf

        near = sorted(self.fresh.values(), key=distance)[:NEAREST]
        return sorted(near, key=lambda each: each.loss)[len(near) // 2]


class Shared:
    """What was trained so far, and the seconds of it."""

    def __init__(self) -> None:
        self.families: dict[str, Family] = {}
        self.rows: dict[tuple[Any, ...], Rows] = {}
        self.spent_s: dict[str, float] = {}  # by family

    def left_s(self, family: str, took_s: float, runs: int) -> float:
        """Return the seconds that trainings beside a run may take, after `runs` runs together took `took_s`.

        One run, and all runs of a family together, get a tenth of their device time, from 5 seconds to a minute;
        families of a pack share a tenth, or 40 seconds.
        """
        of_pack = max(FAMILIES * LEAST_S, SHARE * took_s) - sum(self.spent_s.values())
        of_family = allowed_s(took_s) - self.spent_s.get(family, 0.0)
        return max(0.0, min(allowed_s(took_s / runs), of_family, of_pack))

    def spend(self, family: str, seconds: float) -> None:
        """Count what trainings beside a run of the family took."""
        self.spent_s[family] = self.spent_s.get(family, 0.0) + seconds

    def has(self, family: str) -> bool:
        """Whether a run of the family can do without trainings of its own."""
        return family in self.families and bool(self.families[family].fresh)


def allowed_s(took_s: float) -> float:
    """Return the seconds beside what took `took_s`."""
    return min(MOST_S, max(LEAST_S, SHARE * took_s))


def family_of(training: ProbedTraining, steps: int) -> str:
    """Return what runs of a family have in common, whose trainings beside them take so many steps."""
    spec = training.spec
    document = spec.model_dump(mode="json", exclude=NOT_READ)
    return json.dumps([document, spec.fold(training.seed), steps, batch_size(training)], sort_keys=True)
