"""Where the first number that is none came from: the updates made again, with every value looked at as it appears."""

import math
import statistics
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from worker.trainer.probes.measurement import Measurement, ProbedTraining, document, rounded, undisturbed
from worker.trainer.probes.nonfinite_detector import NonFinite, NonFiniteDetector
from worker.trainer.probes.scratch_training import scratch_copy, train_step

GROWTH = 10.0  # the last sizes over the usual one before: more is growth that led there
BEFORE = 50  # updates whose sizes are remembered


class Found(NamedTuple):
    """The first value that is not finite, and what led to it."""

    step: int
    sight: NonFinite
    precision: str
    rows: tuple[int, ...]  # of the training part; all of the batch where they cannot be told apart
    batch: tuple[int, ...]
    losses: tuple[float, ...]  # of the updates before, the newest last
    norms: tuple[float, ...]  # of their gradients

    @property
    def preceded_by_growth(self) -> bool:
        """Whether the loss or the gradient had left its usual size before."""
        return grew(self.losses) or grew(self.norms)

    def data(self) -> dict[str, Any]:
        """For a reading."""
        return document(
            step=self.step,
            kind=self.sight.kind,
            module=self.sight.module,
            module_class=self.sight.module_class,
            tensor=self.sight.tensor,
            value="NaN" if self.sight.nan else "Infinity",
            entries=self.sight.entries,
            of=self.sight.of,
            precision=self.precision,
            rows=list(self.rows[:200]),
            batch_rows=len(self.batch),
            preceded_by_growth=self.preceded_by_growth,
            losses=rounded(self.losses),
            gradient_norms=rounded(self.norms),
        )


class Autopsy:
    """From a kept checkpoint on, until something is not finite: input, output, loss, gradient, optimizer state, weight.

    Cost: the updates since that checkpoint, each with one more look at every value.
    """

    def __init__(self, component: Any) -> None:
        self.steps: int = component.steps

    def measure(self, training: ProbedTraining) -> Measurement:
        """On a copy, whose random states begin where the training's are."""
        with undisturbed(training.device):
            other = scratch_copy(training)
            found = autopsy(other, again(other, self.steps))
        if found is None:
            return Measurement({}, document(kind=None, why=f"all was finite up to step {other.step}", step=other.step))
        return Measurement({}, found.data() | {"retrained_from": training.step})


def autopsy(training: ProbedTraining, steps: Iterable[Any]) -> Found | None:
    """Let `training` go on by `steps` (what `train` yields, or `again`); stops after the first that shows something.

    The training is used up: its weights are not to be trusted afterwards.
    """
    losses, norms = list[float](), list[float]()
    with NonFiniteDetector(training) as sentinel:
        for _ in steps:
            if sentinel.sight is None:
                losses, norms = (losses + sentinel.losses)[-BEFORE:], (norms + sentinel.norms)[-BEFORE:]
                sentinel.begin_step()
                continue
            step, sight = training.step, sentinel.sight
            batch = training.batches.numbers(step).tolist()
            rows = [batch[i % len(batch)] for i in sight.rows] if sight.rows else batch
            facts = (training.spec.precision, tuple(rows), tuple(batch), tuple(losses), tuple(norms))
            return Found(step, sight, *facts)
    return None


def again(training: ProbedTraining, most: int) -> Iterator[int]:
    """The next updates, without evaluations unless the rate listens to them."""
    every, last = training.spec.evaluation_every, training.spec.total_steps
    training.model.train()
    for step in range(training.step + 1, min(training.step + most, last) + 1):
        train_step(training, step)
        if training.rates.plateau is not None and (step % every == 0 or step == last):
            training.rates.observe(step, training.mechanics.measure(step, training.validation))
        yield step


def grew(sizes: Iterable[float]) -> bool:
    """Whether the largest of the last three is ten times the median of those before."""
    found = [abs(size) for size in sizes]
    if len(found) < 4:
        return len(found) > 1 and found[-1] > GROWTH * found[0] > 0
    usual = statistics.median(found[:-3])
    return max(found[-3:]) > GROWTH * usual or math.isnan(found[-1])
