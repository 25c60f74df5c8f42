"""What keeps a loss at that of a constant prediction: the spec, the gradients, and the length of the updates."""

import math
from typing import NamedTuple

from service.diagnosis import remedies
from service.diagnosis.progress import first_loss
from service.diagnosis.rules.blame import decay_blame
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.diagnosis.trend import mean, median, trend_window


class Cause(NamedTuple):
    """The cause of a loss that does not fall; `shown`: something recorded speaks for it."""

    verdict: str
    why: str
    confidence: float
    patch: remedies.Patch
    remedy: str
    rank: int = 0
    shown: bool = True
    guess: bool = False  # nothing recorded speaks for it, other than that no other cause is shown


def cause_of_trivial_loss(record: RunRecord) -> Cause:
    """Return the first cause that the record shows; unrelated labels are only a possibility, when nothing else is."""
    if record.plan.starts_alike:
        return start_alike(record)
    norms = {path: median(curve, trend_window(record)) for path, curve in record.layers("grad_norm").items()}
    return (
        _decayed(record)
        or _gradients(record, norms)
        or _thrown_away(record)
        or _still_falling(record)
        or _too_simple(record)
        or _forgets(record)
        or _unrelated(bool(norms))
    )


def start_alike(record: RunRecord) -> Cause:
    """Return the cause: an initialisation that makes all units of a layer identical."""
    kinds = ", ".join(dict.fromkeys(init.kind for init in record.plan.inits))
    why = f"with initialisation {kinds}, all units of a layer are and stay identical."
    return Cause(
        "zero_or_symmetric_init", why, 0.95, remedies.use_default_init(record.plan), "Use a random initialisation."
    )


def _decayed(record: RunRecord) -> Cause | None:
    """Weight decay takes the weights before they learn; it leaves dead units and vanished gradients behind."""
    found = decay_blame(record)
    if found is None:
        return None
    return Cause(found.verdict, found.why, found.confidence, found.patch, found.remedy)


def _gradients(record: RunRecord, norms: dict[str, float]) -> Cause | None:
    none = [path for path, norm in norms.items() if norm <= limit("R3.no_gradient")]
    if norms and len(none) == len(norms):
        patch = remedies.use_default_init(record.plan)
        why = "no layer receives a gradient."
        return Cause("zero_or_symmetric_init", why, 0.8, patch, "Use a standard initialisation.")
    if none and record.plan.has_relu:
        patch = [*remedies.use_default_init(record.plan), *remedies.replace_activation(record.plan, "leaky_relu")]
        why = f"no gradient arrives at {none[0]}: all units after it are dead."
        return Cause("dead", why, 0.8, patch, "Use a standard initialisation, a lower learning rate, or leaky_relu.")
    return None


def _thrown_away(record: RunRecord) -> Cause | None:
    """The first updates changed the weights by about their own size, and the loss rose: the start is lost."""
    ratio, loss, before = record.get("update_ratio"), record.get("loss"), first_loss(record)
    if ratio is None or loss is None or before is None:
        return None
    early = ratio.between(0, max(trend_window(record), record.step // 10))
    if not len(early):
        return None
    largest, peak = float(early.high.max()), float(loss.between(0, int(early.steps[-1])).high.max())
    if largest < limit("R3.thrown") or peak < limit("R3.jumped") * before.value:
        return None
    why = (
        f"an early update changed the weights by {largest:.2g} times their norm and the loss rose to {peak:.4g}: "
        "the steps are too long, at least at the start."
    )
    return Cause("lr_above_stability", why, 0.75, remedies.scale_rates(record.plan, 0.1), "Use 0.1 times the rate.")


def _still_falling(record: RunRecord) -> Cause | None:
    """The loss falls steadily, far more than its noise, and has hardly come anywhere: steps too short, or too few."""
    loss, ratio = record.get("loss"), record.get("update_ratio")
    if loss is None or ratio is None or record.step < 4 * trend_window(record):
        return None
    quarter = record.step // 4
    early = mean(loss.between(quarter + 1, 2 * quarter))
    late = mean(loss.between(record.step - quarter + 1, record.step))
    if early is None or late is None or median(ratio) > limit("R3.short"):
        return None
    if early.value - late.value < limit("R3.steady") * math.hypot(early.error, late.error):
        return None
    why = f"it still falls, from {early.value:.5g} to {late.value:.5g} in half of the run: the updates are too small."
    return Cause("lr_too_small", why, 0.75, remedies.scale_rates(record.plan, 10), "Use 10 times the learning rate.", 1)


def _too_simple(record: RunRecord) -> Cause | None:
    """A model without a hidden layer, whose predictions are linear in its inputs."""
    plan = record.plan
    if len(plan.weighted) != 1 or plan.spec.dataset.facts.task == "objective":
        return None
    why = "the model is linear in its inputs, which can be too simple for them; or the labels are unrelated to them."
    return Cause(
        "pipeline_or_capacity", why, 0.6, [], "Try a model with a hidden layer on the same rows.", 1, guess=True
    )


def _forgets(record: RunRecord) -> Cause | None:
    """A recurrent model without gates over many positions forgets the first ones (Bengio et al. 1994)."""
    plan = record.plan
    length = plan.spec.dataset.facts.shape[0] if plan.spec.dataset.facts.shape else 0
    patch = remedies.use_gated_cell(plan)
    if not patch or length < limit("R3.positions"):
        return None
    why = (
        f"over {length} positions a recurrent network without gates passes almost no gradient back to the first ones; "
        "or the labels are unrelated to the inputs."
    )
    return Cause("vanishing_gradient", why, 0.6, patch, "Use a gated cell (gru, lstm), or a transformer.", 1)


def _unrelated(measured: bool) -> Cause:
    if not measured:
        why = "either the labels are unrelated to the inputs, or no gradient arrives; gradient norms would show which."
        return Cause(
            "labels_unrelated", why, 0.3, [], "Overfit one batch first: this must always work.", 2, False, True
        )
    why = (
        "gradients arrive and the updates are of a usual size, so either the labels are unrelated to the inputs, or "
        "the model cannot use them."
    )
    remedy = "Overfit one batch, then compare inputs and labels by eye."
    return Cause("labels_unrelated", why, 0.5, [], remedy, 2, shown=False, guess=True)
