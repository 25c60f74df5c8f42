"""R8, R10: the edge of stability, and critical points."""

from collections.abc import Mapping
from typing import Any

from service.analysis.run_data import Reading
from service.diagnosis import remedies
from service.diagnosis.finding import (
    Evidence,
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
from service.diagnosis.progress import share_learned
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.diagnosis.trend import median, relative_change, trend_window

SADDLES = ("strict_saddle", "maximum")
FLAT = ("flat", "degenerate")
MINIMA = ("minimum", "minimum_up_to_flat_directions")


def edge_of_stability(record: RunRecord) -> Outcome:
    """R8: the sharpness stays at its limit while the loss falls, as usual for gradient descent."""
    sharp, loss = record.get("sharpness/ratio"), record.get("loss")
    if sharp is None or loss is None:
        return not_recorded("sharpness/ratio")
    half = max(trend_window(record), record.step // 2)
    at = median(sharp, half)
    if not limit("R8.low") <= at <= limit("R8.high"):
        return NoFinding(f"the sharpness is at {at:.2f} of its limit.")
    moved = relative_change(loss, half, record.plan.floor or 0.0)
    if moved is None or moved > -limit("any.flat"):
        return NoFinding("the sharpness is at its limit, but the loss does not fall.")
    steps = (max(1, record.step - half + 1), record.step)
    return Finding(
        level="info",
        verdict="edge_of_stability",
        text=f"The sharpness stays at {at:.2f} of its limit while the loss falls. This is normal for gradient descent, "
        "not a fault.",
        confidence=0.9,
        steps=steps,
        evidence=[
            evidence("sharpness over its limit", at, ">", "R8.low", series="sharpness/ratio", steps=steps),
            evidence("change of the loss", moved, "<", "any.flat", series="loss", steps=steps, at=-limit("any.flat")),
        ],
        patch=remedies.replace_part("schedule", {"kind": "cosine"})
        if record.plan.document["schedule"]["kind"] == "constant"
        else (),
        remedy="None is needed; a decaying rate ends at a lower loss.",
        expect=Expect("at half the rate the sharpness settles at twice the value", "the sharpness stays as it is"),
    )


def plateau(record: RunRecord) -> Outcome:
    """R10: the loss is flat and the gradient has almost vanished: the verdict of the critical-point probe."""
    reading = record.reading("critical_point")
    if reading is not None:
        verdict = str(reading.data.get("verdict", ""))
        if verdict in SADDLES:
            return _saddle(record, reading)
        if verdict in (*FLAT, *MINIMA):
            return _rest(record, reading, verdict)
    return _without(record, reading)


def _without(record: RunRecord, reading: Reading | None) -> Outcome:
    """Return the finding from the loss and the gradient norm, without the probe."""
    loss, norms, w = record.get("loss"), record.get("grad_norm"), trend_window(record)
    if loss is None or record.step < w:
        return too_early(record, w)
    share, moved = share_learned(record), relative_change(loss, max(w, record.step // 5), record.plan.floor or 0.0)
    if share is not None and share > 1 - limit("any.learned_little"):
        return NoFinding(f"{share:.0%} of the way to the least loss is done.")
    if moved is not None and abs(moved) > limit("any.flat"):
        return NoFinding("the loss is still changing.")
    if norms is None:
        return not_recorded("grad_norm")
    first, now = float(norms.values[0]), median(norms, w)
    if now > limit("R10.gradient") * max(first, float(norms.values.max())) and now > limit("R3.no_gradient"):
        return _plain(record, share, now) or NoFinding("the loss is flat, but the gradient has not vanished.")
    if reading is not None:
        return Inconclusive(
            f"the probe critical_point could not decide ({reading.data.get('verdict')}).", ("critical_point",), True
        )
    if (rest := _converged(record, first, now, share)) is not None:
        return rest
    why = "the loss is flat with almost no gradient: the probe critical_point would tell a saddle from a minimum."
    return Inconclusive(why, ("critical_point",), pressing=True)


def _plain(record: RunRecord, share: float | None, now: float) -> Finding | None:
    """Return the finding for an objective whose gradient was tiny from the start and points one way: a flat start."""
    norms, cosine = record.get("grad_norm"), record.get("cosine/gradient")
    learned = share is not None and share > limit("any.learned_poorly")
    if record.plan.spec.dataset.facts.task != "objective" or norms is None or cosine is None or learned:
        return None
    if float(norms.high.max()) > limit("R11.norm") or median(cosine) < limit("R9.cosine"):
        return None
    return Finding(
        level="warning",
        verdict="flat",
        text=f"The start lies where the objective is flat: no gradient norm was above {float(norms.high.max()):.1e}, "
        "and every step went the same way without getting anywhere.",
        confidence=0.7,
        steps=(1, record.step),
        evidence=[
            evidence("gradient norm", now, "<", "R11.norm", series="grad_norm"),
            evidence(
                "median cosine of successive gradients", median(cosine), ">", "R9.cosine", series="cosine/gradient"
            ),
        ],
        remedy="Start elsewhere, or use an optimizer that divides by the size of the gradients, such as adam.",
        expect=Expect("from another start the loss falls", "it stays flat there too"),
        probes=("critical_point",),
    )


def _converged(record: RunRecord, first: float, now: float, share: float | None) -> Finding | None:
    """Return the finding for a gradient that fell to nothing without any noise, above the least value: a minimum.

    Gradient descent from a usual start comes to rest at minima, not at saddles (Lee et al. 2016, arXiv:1602.04915).
    """
    norms = record.get("grad_norm")
    assert norms is not None
    deterministic = record.plan.full_batch or record.plan.spec.dataset.facts.task == "objective"
    early = float(norms.between(0, record.step // 2).high.max(initial=0.0))
    if (
        not deterministic
        or share is None
        or now > limit("R10.gradient") * early
        or first < limit("R10.gradient") * early
    ):
        return None
    return Finding(
        level="info",
        verdict="minimum",
        text=f"The gradient has fallen from {early:.3g} to {now:.1e} and the training has come to rest, "
        f"{share:.0%} of the way to the least value: probably at a minimum that is not the lowest.",
        confidence=0.6,
        steps=(max(1, record.step // 2), record.step),
        evidence=[
            evidence("gradient norm over its largest", now / early, "<", "R10.gradient", series="grad_norm"),
            observation("share of the way", share, "the loss", "loss"),
        ],
        remedy="Try other starts; the probe critical_point tells a minimum from a saddle.",
        expect=Expect("other starts end elsewhere", "all of them end at this loss"),
        probes=("critical_point",),
    )


def _saddle(record: RunRecord, reading: Reading) -> Outcome:
    data = reading.data
    least, drop = reading.number("lambda_min"), _within(data, "escape", "measured_drop")
    seen: list[Evidence] = [
        observation("verdict", str(data.get("verdict")), "Hessian's extreme eigenvalues", reading=reading.id)
    ]
    if least is not None:
        seen.append(observation("smallest eigenvalue", least, "Lanczos or dense", reading=reading.id))
    loss, now = record.get("loss"), _within(data, "nearness", "loss")
    size = abs(now) if now else 1.0
    if drop is not None:
        at = limit("R10.escape") * size
        seen.append(
            evidence(
                "measured drop along the escape direction",
                drop,
                ">" if drop > at else "<",
                "R10.escape",
                reading=reading.id,
                at=at,
            )
        )
    left = loss is not None and _left(record, reading)
    if left:
        return NoFinding(f"there was a saddle at step {reading.step}, but the training left it.")
    plan = record.plan
    patch: remedies.Patch = []
    if not plan.full_batch or plan.spec.dataset.facts.task == "objective":
        patch = [remedies.replace("/model/spread", 0.01)] if "spread" in plan.document["model"] else []
    elif plan.full_batch:
        patch = [remedies.replace("/batch_size", min(32, max(1, plan.spec.dataset.counts[0] // 4)))]
    if not patch and plan.document["optimizer"].get("momentum") == 0:
        patch = [remedies.replace("/optimizer/momentum", 0.9)]
    return Finding(
        level="fault",
        verdict="strict_saddle",
        text="The training is stuck at a saddle: the gradient vanishes, but along one direction the loss falls"
        + (f" by {drop:.3g}." if drop is not None else "."),
        confidence=0.95 if drop is not None and drop > limit("R10.escape") * size else 0.7,
        steps=(reading.step, max(reading.step, record.step)),
        evidence=seen,
        patch=patch,
        remedy="Continue along the escape direction; or use another start, momentum, or noisier (smaller) batches.",
        expect=Expect("from the perturbed point the loss falls by the measured drop", "it returns to the same loss"),
    )


def _left(record: RunRecord, reading: Reading) -> bool:
    """Return whether the loss has fallen since by a noticeable share of the drop along the escape direction."""
    loss = record.get("loss")
    assert loss is not None
    before, now = loss.between(0, max(reading.step, int(loss.steps[0]))), median(loss, trend_window(record))
    at = float(before.values[-1])
    drop = _within(reading.data, "escape", "measured_drop") or 0.0
    return at - now > limit("any.flat") * max(abs(at), drop)


def _rest(record: RunRecord, reading: Reading, verdict: str) -> Outcome:
    share = share_learned(record)
    short = "flat" if verdict in FLAT else "minimum"
    poor = share is not None and share < limit("any.learned_poorly")
    said = "in a flat region, where the curvature is almost zero" if short == "flat" else "at a minimum"
    return Finding(
        level="warning" if short == "flat" and poor else "info",
        verdict=short,
        text=f"The training has come to rest {said}.",
        confidence=0.8,
        steps=(reading.step, max(reading.step, record.step)),
        evidence=[observation("verdict", verdict, "Hessian's extreme eigenvalues", reading=reading.id)],
        remedy="Try other seeds; a lower minimum needs another start, model or loss." if poor else None,
        expect=Expect("other seeds end elsewhere", "all seeds end at this loss"),
        probes=("spectrum",),
    )


def _within(data: Mapping[str, Any], part: str, key: str) -> float | None:
    """Return a number from a part of a reading."""
    inner = data.get(part)
    found = inner.get(key) if isinstance(inner, Mapping) else None
    return float(found) if isinstance(found, int | float) else None
