"""The search for the first non-finite value, by repeating the updates and checking every value."""

import math
import statistics
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from service.spec.probes import on_demand
from worker.trainer.probes.measurement import (
    Instrument,
    Measurement,
    ProbedTraining,
    as_json,
    rounded,
    side_effect_free,
)
from worker.trainer.probes.nonfinite_detector import NonFinite, NonFiniteDetector
from worker.trainer.probes.scratch_training import scratch_copy, train_step

GROWTH = 10.0  # the last sizes over the usual size before
HISTORY = 50  # updates whose losses and gradient norms are kept


class FirstNonFinite(NamedTuple):
    """The first non-finite value, and what led to it."""

    step: int
    value: NonFinite
    precision: str
    rows: tuple[int, ...]  # of the training part; the whole batch where single rows are not known
    batch: tuple[int, ...]
    losses: tuple[float, ...]  # of the updates before, newest last
    norms: tuple[float, ...]  # of their gradients

    @property
    def preceded_by_growth(self) -> bool:
        """Whether the loss or the gradient had grown beyond its usual size before."""
        return has_grown(self.losses) or has_grown(self.norms)

    def data(self) -> dict[str, Any]:
        """Return the data of a reading."""
        return as_json(
            step=self.step,
            kind=self.value.kind,
            module=self.value.module,
            module_class=self.value.module_class,
            tensor=self.value.tensor,
            value="NaN" if self.value.nan else "Infinity",
            entries=self.value.entries,
            of=self.value.of,
            precision=self.precision,
            rows=list(self.rows[:200]),
            batch_rows=len(self.batch),
            preceded_by_growth=self.preceded_by_growth,
            losses=rounded(self.losses),
            gradient_norms=rounded(self.norms),
        )


class Autopsy(Instrument[on_demand.Autopsy]):
    """Train on from a kept checkpoint until an input, output, loss, gradient, state or weight is not finite.

    Cost: the updates since that checkpoint, and one check of every value in each.
    """

    def measure(self, training: ProbedTraining) -> Measurement:
        """Train a copy, whose random states begin where the training's are."""
        with side_effect_free(training.device):
            other = scratch_copy(training)
            found = autopsy(other, repeat_steps(other, self.component.steps))
        if found is None:
            return Measurement({}, as_json(kind=None, why=f"all was finite up to step {other.step}", step=other.step))
        return Measurement({}, found.data() | {"retrained_from": training.step})


def autopsy(training: ProbedTraining, steps: Iterable[Any]) -> FirstNonFinite | None:
    """Advance `training` through `steps` (of `train` or `repeat_steps`) up to the first that has a non-finite value.

    The training is spent: its weights are unusable afterwards.
    """
    losses, norms = list[float](), list[float]()
    with NonFiniteDetector(training) as detector:
        for _ in steps:
            if detector.found is None:
                losses, norms = (losses + detector.losses)[-HISTORY:], (norms + detector.norms)[-HISTORY:]
                detector.begin_step()
                continue
            step, value = training.step, detector.found
            batch = training.batches.row_numbers(step).tolist()
            rows = [batch[i % len(batch)] for i in value.rows] if value.rows else batch
            facts = (training.spec.precision, tuple(rows), tuple(batch), tuple(losses), tuple(norms))
            return FirstNonFinite(step, value, *facts)
    return None


def repeat_steps(training: ProbedTraining, count: int) -> Iterator[int]:
    """Make the next updates; evaluate only where the learning rate depends on it."""
    every, last = training.spec.evaluation_every, training.spec.total_steps
    training.model.train()
    for step in range(training.step + 1, min(training.step + count, last) + 1):
        train_step(training, step)
        if training.rates.plateau is not None and (step % every == 0 or step == last):
            pipeline = training.pipeline
            measured = pipeline.measured_so_far(step) | pipeline.measure(training.validation, training.training_part)
            training.rates.observe(step, measured)
        yield step


def has_grown(sizes: Iterable[float]) -> bool:
    """Whether the largest of the last three exceeds ten times the median of those before."""
    found = [abs(size) for size in sizes]
    if len(found) < 4:
        return len(found) > 1 and found[-1] > GROWTH * found[0] > 0
    usual = statistics.median(found[:-3])
    return max(found[-3:]) > GROWTH * usual or math.isnan(found[-1])
