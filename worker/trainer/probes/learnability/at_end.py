"""The learnability probe at the end of a run that learned little, where its spec allows it (`diagnose`)."""

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

import torch

from service.spec.memory import output_numbers
from service.spec.probes.on_demand import Learnability as Component
from worker.trainer.failures import describe_error, loses_device
from worker.trainer.optim.schedule_free import eval_weights
from worker.trainer.probes.inline.sanity_checks import best_constant
from worker.trainer.probes.inline.side_effect_free import HasRows, sample_rows, side_effect_free_forward
from worker.trainer.probes.learnability.instrument import LITTLE, Learnability, least_possible
from worker.trainer.probes.learnability.shared import Shared, family_of
from worker.trainer.probes.learnability.trial import BUSY
from worker.trainer.probes.measurement import ProbedTraining, side_effect_free

KIND = "learnability"
MOST = 0.75  # of the way: others can reach at most a third more than this, which is the least that a verdict takes
MIN_STEPS = 20  # of a run; shorter ones are not diagnosed
MIN_UPDATES = 150  # beside the run, of its own speed: fewer tell nothing
MAX_PARAMETERS = 20_000_000  # three more models of this size are kept at a time
LOOKED_AT = 256  # rows that say whether it learned


class Took(NamedTuple):
    """The time of a run, or of the runs of a pack together."""

    seconds: float
    runs: int = 1

    @property
    def of_run(self) -> float:
        """Seconds of the device for one run."""
        return self.seconds / self.runs


def learnability_at_end(
    training: ProbedTraining,
    took: Took,
    stopped: Callable[[], bool],
    shared: Shared | None = None,
    run: str = "",
) -> tuple[str, dict[str, Any]] | None:
    """Return the kind and the data of the reading; None if none is wanted. A failure is the reading.

    The runs of a pack pass what they have `shared` so far, which limits what is trained beside all of them.
    """
    if not _wanted(training):
        return None
    shared = shared or Shared()
    instrument = Learnability(Component(), shared)
    instrument.stopped, instrument.run = stopped, run
    family = family_of(training, instrument.steps_of(training))
    instrument.seconds = seconds = _seconds(training, took, shared.left_s(family, *took))
    if not seconds and not shared.has(family):
        return None
    try:
        if not learned_little(training):
            return None
        data = instrument.measure(training).data or {}
    except Exception as error:  # as with any probe, the run is good without it
        if loses_device(error):
            raise
        return KIND, {"error": describe_error(error)}
    asked = {"by": "diagnose", "seconds": round(seconds, 2)}
    return KIND, {"asked": asked, **data, "of_seconds": round(took.of_run, 2)}


def _seconds(training: ProbedTraining, took: Took, left: float) -> float:
    """Return the seconds for trainings of the run's own; 0 where they would say too little, or take too long."""
    limit = training.spec.max_seconds
    slow = MIN_UPDATES * took.of_run / training.step > left
    late = limit is not None and took.of_run + BUSY * left > limit
    return 0.0 if slow or late else left


def _wanted(training: ProbedTraining) -> bool:
    spec = training.spec
    if spec.diagnose == "never" or spec.dataset.facts.task == "objective" or spec.resources.devices > 1:
        return False
    if training.step < MIN_STEPS or any(probe.kind == KIND for probe in spec.probes):
        return False
    return sum(p.numel() for p in training.model.parameters()) <= MAX_PARAMETERS


def learned_little(training: ProbedTraining) -> bool:
    """Whether the run has come less than three quarters of the way, or nowhere on other rows, or nobody knows."""
    parts: list[tuple[HasRows, float]] = [(training.batches, MOST)]
    parts += [] if training.validation is None else [(training.validation, LITTLE)]
    with side_effect_free(training.device), eval_weights(training.optimizers):
        for part, bound in parts:
            share = _share(training, *(rows[:LOOKED_AT] for rows in sample_rows(part, output_numbers(training.spec))))
            if share is None or not share >= bound:  # also if it is not a number
                return True
    return False


def _share(training: ProbedTraining, x: torch.Tensor, y: torch.Tensor) -> float | None:
    floor = least_possible(training.spec)
    if floor is None:
        return None
    criterion = deepcopy(training.criterion)
    with side_effect_free_forward(training.model, batch_statistics=False), training.pipeline.precision.forward():
        outputs = training.model(x)
        loss = float(criterion(outputs, y))
    constant = best_constant(criterion, torch.zeros((), device=x.device).expand(outputs.shape), y)[1]
    return (constant - loss) / (constant - floor) if constant > floor and math.isfinite(loss) else None
