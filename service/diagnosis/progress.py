"""How far a run has come: its first loss, the trivial loss, and the share of the way to the minimum."""

import math
from typing import NamedTuple

from service.diagnosis.run_record import RunRecord
from service.diagnosis.trend import mean, tail_mean, trend_window

IN_NATS = ("cross_entropy", "nll", "bce_with_logits", "soft_margin", "kl_div")  # equal guesses cost ln C


class Reference(NamedTuple):
    """A loss to compare others with, and how it is known."""

    value: float
    source: str
    reading: int | None = None


def trivial_loss(record: RunRecord) -> Reference | None:
    """Return the loss of the best constant prediction: measured at the start, else implied by the spec, else None."""
    reading = record.reading("start")
    measured = None if reading is None else reading.data.get("trivial_loss")
    if record.plan.loss == "nll" and (implied := _implied(record)) is not None:
        return implied  # the best constant need not be a probability, and can then beat every model
    if reading is not None and isinstance(measured, int | float) and math.isfinite(measured):
        said = reading.data.get("trivial") or "best constant"
        return Reference(float(measured), f"loss of the {said} on the training rows", reading.id)
    return _implied(record)


def untrained_loss(record: RunRecord) -> Reference | None:
    """Return the loss of equal guesses, which a fresh model is near, else of the best constant prediction."""
    reading = record.reading("start") if record.plan.loss in IN_NATS else None
    measured = None if reading is None else reading.data.get("uniform_loss")
    if reading is not None and isinstance(measured, int | float) and math.isfinite(measured):
        return Reference(float(measured), "uniform guessing", reading.id)
    return _implied(record) or trivial_loss(record)


def _implied(record: RunRecord) -> Reference | None:
    plan, classes = record.plan, record.plan.classes
    if plan.loss in ("cross_entropy", "nll") and classes > 1 and not getattr(plan.spec.loss, "weight", None):
        return Reference(math.log(classes), "ln C, uniform guessing")
    if plan.loss in ("bce_with_logits", "soft_margin") and getattr(plan.spec.loss, "pos_weight", None) is None:
        return Reference(math.log(2), "ln 2, uniform guessing")
    if plan.loss == "softmax_mse" and classes > 1:
        return Reference(1 - 1 / classes, "1 - 1/C, uniform guessing")
    if plan.loss == "mse" and getattr(plan.spec.dataset, "target_scaling", "none") == "standardise":
        return Reference(1.0, "variance of standardised values")
    return None


def first_loss(record: RunRecord) -> Reference | None:
    """Return the loss before any update: measured on the training rows, else of the first batch.

    A run that continues from another run's checkpoint uses the mean of its first steps: the losses of a trained model
    are small, and can differ by half between batches.
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
    """Return (reference - loss now) / (reference - minimum); the reference is the trivial loss, else the first one.

    1 is everything, 0 nothing, and below 0 worse than a constant prediction; None if the scale is unknown.
    """
    loss, floor = record.get("loss"), record.plan.floor
    reference = trivial_loss(record) or first_loss(record)
    if loss is None or reference is None or floor is None or reference.value <= floor:
        return None
    return (reference.value - tail_mean(loss, trend_window(record)).value) / (reference.value - floor)


def share_held(record: RunRecord) -> float | None:
    """Return how far the validation loss has come from the trivial loss to the minimum; None if it is unknown."""
    curve, trivial, floor = record.get("val/loss"), trivial_loss(record), record.plan.floor
    if curve is None or trivial is None or floor is None or trivial.value <= floor:
        return None
    return (trivial.value - float(curve.values[-1])) / (trivial.value - floor)


def least_share(record: RunRecord) -> float | None:
    """Return the lower of the shares on training and on validation rows; None if both are unknown."""
    return min((each for each in (share_learned(record), share_held(record)) if each is not None), default=None)


def loss_scale(record: RunRecord) -> float | None:
    """Return the size of a large change: the first or the trivial loss, whichever is lower, above the minimum.

    A run that continues from a checkpoint uses the trivial loss above the minimum.
    """
    before, nothing = first_loss(record), trivial_loss(record)
    if record.origin and nothing is not None:
        before = None  # its first loss is near its best
    known = [each.value for each in (before, nothing) if each is not None]
    if not known:
        return None
    found = min(known) - (record.plan.floor or 0.0)
    return found if found > 0 else abs(min(known)) or None
