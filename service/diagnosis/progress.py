"""How far a training came: its first loss, that of who knows nothing, and the share of the way to the least one."""

import math
from typing import NamedTuple

from service.diagnosis.run_record import RunRecord
from service.diagnosis.trend import mean, tail_mean, trend_window


class Reference(NamedTuple):
    """A loss to hold others against, and how it is known."""

    value: float
    source: str
    reading: int | None = None


def trivial_loss(record: RunRecord) -> Reference | None:
    """The loss of the best constant answer: as measured at the start, else as the spec implies; None: nobody knows."""
    reading = record.reading("start")
    measured = None if reading is None else reading.data.get("trivial_loss")
    if record.plan.loss == "nll" and (implied := _implied(record)) is not None:
        return implied  # a constant that is no probability would do better than any model may
    if reading is not None and isinstance(measured, int | float) and math.isfinite(measured):
        said = reading.data.get("trivial") or "best constant"
        return Reference(float(measured), f"loss of the {said} on the training rows", reading.id)
    return _implied(record)


def _implied(record: RunRecord) -> Reference | None:
    plan, classes = record.plan, record.plan.classes
    if plan.loss in ("cross_entropy", "nll") and classes > 1 and not getattr(plan.spec.loss, "weight", None):
        return Reference(math.log(classes), "ln C, equal guesses")
    if plan.loss in ("bce_with_logits", "soft_margin") and getattr(plan.spec.loss, "pos_weight", None) is None:
        return Reference(math.log(2), "ln 2, equal guesses")
    if plan.loss == "softmax_mse" and classes > 1:
        return Reference(1 - 1 / classes, "1 - 1/C, equal guesses")
    if plan.loss == "mse" and getattr(plan.spec.dataset, "target_scaling", "none") == "standardise":
        return Reference(1.0, "variance of standardised values")
    return None


def first_loss(record: RunRecord) -> Reference | None:
    """The loss before any update: on the training rows where it was measured, else of the first batch.

    What goes on from another run's checkpoint has no such loss: there it is the mean of its first steps, for a trained
    model's losses are small, and one batch's may be half of another's.
    """
    if record.origin:
        began = record.get("loss")
        found = None if began is None else mean(began.between(0, began.steps[0] + trend_window(record) - 1))
        return None if found is None else Reference(found.value, f"mean of the first steps after {record.origin}")
    reading = record.reading("start")
    measured = None if reading is None else reading.data.get("initial_loss")
    if reading is not None and isinstance(measured, int | float) and math.isfinite(measured):
        return Reference(float(measured), "loss of the training rows before step 1", reading.id)
    loss = record.get("loss")
    if loss is None or record.series["loss"].steps[0] != loss.steps[0]:
        return None
    return Reference(float(loss.values[0]), "loss of the first batch")


def share_learned(record: RunRecord) -> float | None:
    """(reference - loss now) / (reference - least loss); the reference is the trivial loss, else the first one.

    1: all, 0: nothing, below 0: worse than knowing nothing; None: there is no scale to measure it on.
    """
    loss, floor = record.get("loss"), record.plan.floor
    reference = trivial_loss(record) or first_loss(record)
    if loss is None or reference is None or floor is None or reference.value <= floor:
        return None
    return (reference.value - tail_mean(loss, trend_window(record)).value) / (reference.value - floor)


def loss_scale(record: RunRecord) -> float | None:
    """What counts as much: the first loss above the least one, or the trivial one where the start was worse.

    For what goes on from another run's checkpoint it is the trivial loss above the least one.
    """
    before, nothing = first_loss(record), trivial_loss(record)
    if record.origin and nothing is not None:
        before = None  # it began near its best
    known = [each.value for each in (before, nothing) if each is not None]
    if not known:
        return None
    found = min(known) - (record.plan.floor or 0.0)
    return found if found > 0 else abs(min(known)) or None
