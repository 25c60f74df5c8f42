"""R1, R2: non-finite values, and a first loss that is wrong for an untrained model."""

import numpy as np

from service.diagnosis import remedies
from service.diagnosis.finding import Evidence, Expect, Finding, Inconclusive, NoFinding, Outcome, evidence, observation
from service.diagnosis.progress import first_loss, share_learned, untrained_loss
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit

TARGETS = "variance of the targets"
TAKES_LOGARITHMS = {"poisson_nll", "gaussian_nll", "kl_div"}


def non_finite_values(record: RunRecord) -> Outcome:
    """R1: the first NaN or infinite value, and its cause."""
    at = _first(record)
    if at is None:
        return NoFinding("every loss and gradient norm is finite.")
    step, series = at
    grown, seen = _growth(record, step)
    verdict, why, confidence = _kind(record, step, grown)
    return Finding(
        level="fault",
        verdict=f"nonfinite:{verdict}",
        text=f"The {series} is not finite at step {step}: {why}",
        confidence=confidence,
        steps=(step, max(step, record.step)),
        evidence=[observation("first non-finite step", step, "recorded", series, (step, step)), *seen],
        patch=_remedy(record, verdict),
        remedy=REMEDIES[verdict],
        expect=Expect("with the patch every value stays finite", "it fails again at about the same step"),
        probes=() if record.reading("autopsy") else ("autopsy",),
    )


REMEDIES = {
    "overflow": "Use a tenth of the learning rate.",
    "input": "Check the rows of this batch: a feature or a target is not finite, or far too large.",
    "amp": "Train in full precision; half precision overflows at 65,504.",
    "log0": "Lower the learning rate, or keep the argument of the logarithm away from 0.",
}


def _first(record: RunRecord) -> tuple[int, str] | None:
    """Return the step and the series of the first non-finite value."""
    found = []
    for name in ("loss", "grad_norm"):
        curve = record.series.get(name)
        if curve is not None and (broken := np.flatnonzero(curve.nonfinite > 0)).size:
            found.append((int(curve.steps[broken[0]]), "loss" if name == "loss" else "gradient norm"))
    failure = record.failure or {}
    if failure.get("code") == "diverged" and failure.get("step") is not None:
        found.append((int(failure["step"]), "loss"))
    return min(found) if found else None


def _growth(record: RunRecord, step: int) -> tuple[bool, list[Evidence]]:
    """Return whether the losses had grown before `step`, with the evidence."""
    loss = record.get("loss")
    before = None if loss is None else loss.between(0, step - 1)
    if before is None or len(before) < 4:
        return False, []
    late, early = float(before.high[-3:].max()), float(np.median(before.values[: max(1, len(before) // 2)]))
    grown = late > limit("R1.growth") * abs(early)
    steps = (int(before.steps[0]), int(before.steps[-1]))
    at = limit("R1.growth") * abs(early)
    return grown, [
        evidence("last finite losses", late, ">" if grown else "<", "R1.growth", series="loss", steps=steps, at=at)
    ]


def _kind(record: RunRecord, step: int, grown: bool) -> tuple[str, str, float]:
    autopsy = record.reading("autopsy")
    if autopsy is not None and autopsy.data.get("kind") == "input":
        return "input", "the batch itself has non-finite values.", 0.95
    if record.plan.spec.precision == "fp16":
        return "amp", "half precision has no values above 65,504.", 0.7
    if grown:
        return "overflow", "the loss had grown before, so the steps were too long.", 0.9
    reading = record.reading("start")
    if reading is not None and (reading.number("nonfinite_features") or reading.number("nonfinite_targets")):
        return "input", "the training rows have non-finite values.", 0.95
    if step == 1:
        return "input", "this was before any update, so the data or the initial weights are the cause.", 0.6
    if record.plan.loss in TAKES_LOGARITHMS:
        return "log0", f"{record.plan.loss} takes logarithms, and the loss had not grown before.", 0.6
    return "overflow", "the loss had not grown before, so a single step was far too long.", 0.7


def _remedy(record: RunRecord, verdict: str) -> remedies.Patch:
    if verdict == "amp":
        return [remedies.replace("/precision", "fp32")]
    if verdict == "input":
        return remedies.standardise(record.plan) or remedies.standardise(record.plan, "target_scaling")
    return remedies.scale_rates(record.plan, 0.1)


def wrong_first_loss(record: RunRecord) -> Outcome:
    """R2: a first loss far from that of an untrained model."""
    if record.origin:
        return NoFinding(f"the run continues from step {record.origin} of another run.")
    before, reference = first_loss(record), untrained_loss(record)
    if before is None:
        return Inconclusive("no first loss is recorded.")
    if reference is None:
        return Inconclusive(
            f"the loss {record.plan.loss} of an untrained model is not known without the probe start.", ("start",)
        )
    if (near_zero := _near_zero(record)) is not None:
        return near_zero
    off, why = _off(record, before.value, reference.value)
    if why is None:
        return NoFinding(
            f"the first loss {before.value:.4g} is near that of an untrained model ({reference.value:.4g})."
        )
    share = share_learned(record)
    bad = before.value > limit("R2.bad") * reference.value and (share is None or share < limit("any.learned_little"))
    unscaled = off.name == TARGETS and (share is None or share < limit("any.learned_poorly"))
    bad = bad or unscaled  # a network whose outputs are near 0 spends the run on the scale of its targets
    plan = record.plan
    patch = remedies.standardise(plan, "target_scaling") or remedies.standardise(plan)
    patch = patch or remedies.use_default_init(plan)
    return Finding(
        level="fault" if bad else "warning",
        verdict="bad_init_or_scale",
        text=f"Before any update the loss is {before.value:.4g}; {why}",
        confidence=0.9 if bad else 0.7,
        steps=(0, 1),
        evidence=[
            off,
            observation("loss of an untrained model", reference.value, reference.source, reading=reference.reading),
        ],
        patch=patch,
        remedy="Scale features and targets to standard deviation 1, and use a standard initialisation.",
        expect=Expect("the first loss is near that of an untrained model", "it is as far away as before"),
        strong=bad,
        rank=-1 if bad else 1,
    )


def _near_zero(record: RunRecord) -> Finding | None:
    """Return the finding for weights that start so near zero that the first loss is that of any constant."""
    share, scale = share_learned(record), record.plan.smallest_scale
    if share is None or share > limit("any.learned_poorly") or scale >= limit("R2.start") or record.plan.starts_alike:
        return None
    return Finding(
        level="fault",
        verdict="bad_init_or_scale",
        text=f"The weights of a layer start so near zero ({scale:.1e} of the usual size) that its units do almost the "
        f"same and pass next to no gradient; {max(share, 0.0):.0%} of the way is done.",
        confidence=0.85,
        steps=(0, max(1, record.step)),
        evidence=[evidence("initial deviation x root of the inputs", scale, "<", "R2.start")],
        patch=remedies.use_default_init(record.plan),
        remedy="Use the default initialisation.",
        expect=Expect("the loss falls from the start", "it stays where it is"),
        rank=-1,
    )


def _off(record: RunRecord, before: float, reference: float) -> tuple[Evidence, str | None]:
    """Return the decisive measurement and what is wrong; None if nothing is."""
    reading = record.reading("start")
    seen: dict[str, object] = {} if reading is None else dict(reading.data)
    if record.plan.classes > 1:
        at = max(limit("R2.classes") * reference, limit("R2.least"))
        at *= 1 if reading is not None else 2  # one batch alone may be easy or hard
        apart = evidence(
            "difference from uniform guessing", abs(before - reference), ">", "R2.classes", series="loss", at=at
        )
        wrong = before - reference > at or (reference - before > at)
        return apart, f"uniform guessing would give {reference:.4g}." if wrong else None
    known = record.plan.floor is not None and reference > record.plan.floor
    ratio = before / reference if known else 1.0  # a loss without a least value has no scale
    times = evidence("first loss over the best constant's", ratio, ">", "R2.values", series="loss")
    if ratio > limit("R2.values"):
        return times, f"the best constant would give {reference:.4g}."
    variance = seen.get("target_variance")
    values = record.plan.loss != "poisson_nll" and reading is not None  # whose model predicts a logarithm
    unscaled = values and record.plan.document["dataset"].get("target_scaling") == "none"
    if isinstance(variance, int | float) and unscaled and variance > limit("R2.targets"):
        found = evidence(TARGETS, variance, ">", "R2.targets", reading=reading.id if reading else None)
        return found, f"the targets have variance {variance:.4g}, but an untrained model predicts values near 0."
    return times, None
