"""R13, R14: dead units, and saturated outputs."""

from service.analysis.run_data import Series
from service.diagnosis import remedies
from service.diagnosis.finding import (
    Expect,
    Finding,
    Inconclusive,
    NoFinding,
    Outcome,
    evidence,
    not_recorded,
    observation,
    too_early,
)
from service.diagnosis.plan import OUTPUT_RANGES, UNBOUNDED
from service.diagnosis.progress import share_learned, trivial_loss
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.diagnosis.trend import median, tail_mean, trend_window

LINKED = {"poisson_nll", "gaussian_nll", "objective"}  # losses whose outputs are not the values to predict


def dead_units(record: RunRecord) -> Outcome:
    """R13: most units of a layer output 0 for whole batches."""
    if record.plan.leaves and not record.plan.has_relu:
        return NoFinding("no unit of this model can die.")
    w, shares = trend_window(record), record.layers("dead_share")
    if not shares:
        return not_recorded("dead_share/<layer>")
    if record.step < w:
        return too_early(record, w)
    if record.plan.spec.rows_per_step < limit("R13.rows"):
        return Inconclusive(f"a batch of {record.plan.spec.rows_per_step} rows says little about a unit.")
    late = {path: median(curve, max(w, record.step // 5)) for path, curve in shares.items()}
    worst = max(late, key=lambda path: late[path])
    if late[worst] <= limit("R13.dead"):
        return NoFinding(f"at most {late[worst]:.0%} of a layer's units output only 0.")
    share = share_learned(record)
    poor = share is None or share < limit("any.learned_poorly")
    curve = shares[worst]
    at_start = float(curve.values[0]) > limit("R13.dead")
    patch = remedies.replace_activation(record.plan, "leaky_relu")
    if not at_start:
        patch = [*patch, *remedies.scale_rates(record.plan, 0.1)]
    else:
        patch = [*patch, *remedies.use_default_init(record.plan)]
    steps = (int(curve.steps[0]), int(curve.steps[-1]))
    closed = poor and late[worst] > limit("R13.closed") and not record.plan.starts_alike  # nothing passes the layer
    return Finding(
        level="info" if not poor else "fault" if late[worst] > limit("R13.most") else "warning",
        verdict="dying_relu",
        text=f"{late[worst]:.0%} of the units of {worst} output 0 for every row of a batch"
        + (", from the start." if at_start else ": they died during training."),
        confidence=0.9 if poor else 0.6,
        steps=steps,
        evidence=[
            evidence(f"dead units of {worst}", late[worst], ">", "R13.dead", series=f"dead_share/{worst}", steps=steps),
            observation("dead at the start", float(curve.values[0]), "recorded", f"dead_share/{worst}"),
        ],
        patch=patch,
        remedy="Use leaky_relu" + (" and a standard initialisation." if at_start else " and a lower learning rate."),
        expect=Expect("units stay alive and the loss falls", "units stay alive and the loss does not fall"),
        rank=-1 if closed else 0,
    )


def _out_of_reach(record: RunRecord) -> Finding | None:
    """Return the finding for values to predict that the last layer cannot output, such as a ReLU's negative ones."""
    plan, reading, share = record.plan, record.reading("start"), share_learned(record)
    end, place = plan.logit_layer
    low, high = OUTPUT_RANGES.get(end, UNBOUNDED)
    centre = None if reading is None else reading.number("target_mean")
    spread = None if reading is None else reading.number("target_variance")
    if plan.spec.dataset.facts.task != "regression" or centre is None or not spread or plan.loss in LINKED:
        return None
    below, above = low > centre - spread**0.5, high < centre + spread**0.5
    if not (below or above) or (share is not None and share > 1 - limit("any.learned_little")):
        return None
    limit_text = f"never {'below' if below else 'above'} {low if below else high:g}"
    return Finding(
        level="fault" if share is None or share < limit("any.learned_poorly") else "warning",
        verdict="saturated_output",
        text=f"The last layer is {end}, whose outputs are {limit_text}, while the values to predict have mean "
        f"{centre:.3g} and standard deviation {spread**0.5:.3g}: many of them cannot be reached.",
        confidence=0.9,
        steps=(1, max(1, record.step)),
        evidence=[
            observation("last layer", end),
            observation("mean of the targets", centre, "the data", reading=reading.id if reading else None),
            observation("standard deviation of the targets", spread**0.5, "the data"),
        ],
        patch=[] if place is None else [{"op": "remove", "path": f"/model/layers/{place}"}],
        remedy=f"Remove {end} after the last layer: a regression's output is not bounded.",
        expect=Expect("the loss falls further", "it ends where it did"),
        rank=-1,
    )


def saturation(record: RunRecord) -> Outcome:
    """R14: a bounded activation is saturated, so its gradient vanishes, while the loss is high."""
    plan, w, share = record.plan, trend_window(record), share_learned(record)
    if (out := _out_of_reach(record)) is not None:
        return out
    if record.step < w:
        return too_early(record, w)
    layers = record.layers("saturated_share")
    late = {path: median(curve, max(w, record.step // 5)) for path, curve in layers.items()}
    over = {path: value for path, value in late.items() if value > limit("R14.saturated")}
    if share is not None and share > limit("any.learned_poorly"):
        return NoFinding(f"the loss has come {share:.0%} of the way to its minimum.")
    if plan.loss == "softmax_mse" and (found := _flat_softmax(record)) is not None:
        return found
    if not layers:
        return (
            not_recorded("saturated_share/<layer>")
            if plan.squashes or not plan.leaves
            else NoFinding("no layer has bounded outputs.")
        )
    if not over:
        return NoFinding("no layer has most of its outputs at their limits.")
    worst = max(over, key=lambda path: over[path])
    curve = layers[worst]
    return Finding(
        level="fault" if share is not None else "warning",
        verdict="saturated_output",
        text=f"{over[worst]:.0%} of the outputs of {worst} lie within 1 % of their limits, where no gradient passes.",
        confidence=0.8,
        steps=_span(curve),
        evidence=[
            evidence(
                f"outputs of {worst} at their limits",
                over[worst],
                ">",
                "R14.saturated",
                series=f"saturated_share/{worst}",
                steps=_span(curve),
            )
        ],
        patch=_unsaturated(record),
        remedy="Scale the features, use a smaller initialisation, or use relu.",
        expect=Expect("fewer outputs lie at their limits and the loss falls", "the loss does not fall"),
    )


def _unsaturated(record: RunRecord) -> remedies.Patch:
    plan = record.plan
    patch = [*remedies.standardise(plan), *remedies.use_default_init(plan)]
    return patch or remedies.replace_activation(plan, "relu")


def _flat_softmax(record: RunRecord) -> Finding | None:
    """Return the finding for a squared error of probabilities, whose gradient vanishes for confident errors."""
    loss, reference, share = record.get("loss"), trivial_loss(record), share_learned(record)
    if loss is None or reference is None or share is None:
        return None
    now = tail_mean(loss, trend_window(record))
    return Finding(
        level="fault",
        verdict="saturated_output",
        text=f"The squared error of probabilities has almost no gradient where the model is wrong but certain: "
        f"after {record.step} steps it is {now.value:.3g}.",
        confidence=0.85,
        steps=now.steps,
        evidence=[
            observation("/loss/kind", record.plan.loss),
            evidence("share of the loss learned", share, "<", "any.learned_poorly", series="loss", steps=now.steps),
        ],
        patch=remedies.replace_part("loss", {"kind": "cross_entropy"}),
        remedy="Use cross_entropy, whose gradient stays large where the model is wrong.",
        expect=Expect("cross_entropy leaves the plateau at once", "cross_entropy stays on it too"),
    )


def _span(curve: Series) -> tuple[int, int]:
    return int(curve.steps[0]), int(curve.steps[-1])
