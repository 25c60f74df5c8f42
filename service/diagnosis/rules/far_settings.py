"""R36: a setting that is far from usual, in a run that misses a tenth of the way or more.

Where a run learned well but not all, nothing is trained beside it, or what is gains less than a third more. Then the
spec alone says which of its settings takes away the rest.
"""

import math
from collections.abc import Callable, Sequence

from service.diagnosis import remedies
from service.diagnosis.finding import Expect, Finding, NoFinding, Outcome, evidence, observation
from service.diagnosis.plan import OUTPUT_RANGES
from service.diagnosis.progress import least_share
from service.diagnosis.rules import blame
from service.diagnosis.rules.blame import Blame
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.diagnosis.trained_beside import compared

VERDICTS = (
    "setting_had_no_effect", "schedule_mismatch", "weight_decay_too_strong", "lr_too_small", "bn_statistics",
    "pipeline_or_capacity", "vanishing_gradient", "saturated_output",
)  # fmt: skip
Asked = Callable[[RunRecord], Blame | None]
SETTINGS: Sequence[Asked] = (
    blame.frozen_blame,
    blame.schedule_blame,
    blame.decay_blame,
    blame.clip_blame,
    blame.delta_blame,
    blame.layer_decay_blame,
    blame.norm_blame,
)


def far_settings(record: RunRecord) -> Outcome:
    """R36: the first setting, or part of the model, that the spec shows to be far from usual."""
    task, came = record.plan.spec.dataset.facts.task, least_share(record)
    if not record.ended or record.state != "succeeded" or record.origin or task in ("objective", "language"):
        return NoFinding("the run has not ended by itself, continues from another one, or has no scale.")
    if came is None or came > limit("R36.held"):
        return NoFinding("nearly all of the way is done.")
    found = _named(record)
    if found is None:
        return NoFinding("no setting of the spec is far from usual, or what was tried without it reaches no more.")
    return Finding(
        level="warning",
        verdict=found.verdict,
        text=f"{max(came, 0.0):.0%} of the way is done, and {found.why}",
        confidence=min(found.confidence, 0.8),
        steps=(1, max(1, record.step)),
        evidence=[*found.seen, evidence("share of the way", came, "<", "R36.held", series="loss")],
        patch=found.patch,
        remedy=found.remedy or "Use a schedule whose mean rate is half of the largest or more, such as a cosine.",
        expect=Expect("the loss ends lower, on validation rows too", "it ends where it did: the setting did no harm"),
        explains=("R24",),
        rank=1,
    )


def _named(record: RunRecord) -> Blame | None:
    """Return what is far from usual; where something was trained beside the run, only what that does not refute."""
    tried = compared(record)
    open_to_settings = tried is None or (tried.significant("same", "run") and not tried.more("same"))
    setting = next((found for ask in SETTINGS if (found := ask(record)) is not None), None)
    if open_to_settings and setting is not None:
        return setting
    if tried is None or (tried.significant("other", "run") and tried.significant("other", "same")):
        return _narrow(record) or blame.sigmoids_blame(record) or _bounded(record)
    return None


def _narrow(record: RunRecord) -> Blame | None:
    """A hidden layer of so few units that they bound what the network can tell apart."""
    layer, units = blame.narrowest(record)
    if not layer or units > limit("R36.narrow"):
        return None
    seen = evidence(f"units of {layer}", units, "<", "R36.narrow")
    why = f"its layer {layer} has {units} unit{'s' if units != 1 else ''}, through which all that is known must pass."
    return Blame("pipeline_or_capacity", why, 0.8, [seen], [], "Make the hidden layers wider: 32 units, for example.")


def _bounded(record: RunRecord) -> Blame | None:
    """A last layer with bounded outputs, where the loss asks for unbounded ones."""
    end, place = record.plan.logit_layer
    scaled = getattr(record.plan.spec.dataset, "target_scaling", "none") == "standardise"
    if end not in OUTPUT_RANGES or not (record.plan.loss == "cross_entropy" or (record.plan.loss == "mse" and scaled)):
        return None
    low, high = OUTPUT_RANGES[end]
    bounds = f"below {low:g}" if math.isinf(high) else f"outside of {low:g} to {high:g}"
    why = f"its last layer, {end}, has no outputs {bounds}, which this loss asks for."
    patch: remedies.Patch = [] if place is None else [{"op": "remove", "path": f"/model/layers/{place}"}]
    return Blame("saturated_output", why, 0.75, [observation("last layer", end)], patch, f"Remove {end} at the end.")
