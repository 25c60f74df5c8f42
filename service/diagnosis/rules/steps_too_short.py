"""R7, R9: steps that oscillate across a valley, and steps that are too small."""

from service.diagnosis import remedies
from service.diagnosis.finding import Evidence, Expect, Finding, NoFinding, Outcome, evidence, not_recorded, too_early
from service.diagnosis.progress import share_held, share_learned
from service.diagnosis.rules.blame import clipped_share
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.diagnosis.trend import median, relative_change, tail_mean, trend_window


def bouncing(record: RunRecord) -> Outcome:
    """R7: the loss is flat while successive gradients point in opposite directions and do not shrink."""
    loss, cosine, norms, w = (
        record.get("loss"),
        record.get("cosine/gradient"),
        record.get("grad_norm"),
        trend_window(record),
    )
    long = max(w, record.plan.total_steps // 5)
    if loss is None or record.step < 2 * long:
        return too_early(record, 2 * long)
    if cosine is None:
        return not_recorded("cosine/gradient")
    turning = median(cosine, long)
    if turning > limit("R7.cosine"):
        return NoFinding(f"successive gradients do not point in opposite directions (median cosine {turning:.2f}).")
    moved = relative_change(loss, long, record.plan.floor or 0.0)
    if moved is not None and moved < -limit("any.flat"):
        return NoFinding(f"gradients reverse, but the loss falls (by {-moved:.1%} in {long} steps).")
    if norms is None:
        return not_recorded("grad_norm")
    shrunk = median(norms, long) / max(median(norms.between(0, long)), 1e-30)
    if shrunk < limit("R7.shrinking"):
        return NoFinding("gradients reverse and shrink, so the training converges.")
    reached = max((each for each in (share_learned(record), share_held(record)) if each is not None), default=0.0)
    steps = (int(loss.steps[-1]) - long + 1, int(loss.steps[-1]))
    seen = [
        evidence(
            "median cosine of successive gradients", turning, "<", "R7.cosine", series="cosine/gradient", steps=steps
        ),
        evidence("change of the loss", moved, ">", "any.flat", series="loss", steps=steps, at=-limit("any.flat")),
        evidence("late over early gradient norm", shrunk, ">", "R7.shrinking", series="grad_norm", steps=steps),
    ]
    huber = record.plan.loss == "mae"
    return Finding(
        level="info" if reached > limit("R29.most") else "fault",  # near the end every constant rate does
        verdict="bouncing_not_critical",
        text="The loss is flat although gradients do not vanish: each step jumps across the valley and back. "
        "This is not a critical point.",
        confidence=0.85,
        steps=steps,
        evidence=seen,
        patch=remedies.replace_part("loss", {"kind": "huber"}) if huber else remedies.scale_rates(record.plan, 0.3),
        remedy="Use huber in place of mae, whose gradient never shrinks."
        if huber
        else "Use 0.3 times the learning rate, or a decaying one.",
        expect=Expect("the loss falls further", "it does not, so the steps are not too long"),
        probes=("sharpness",),
    )


def creeping(record: RunRecord) -> Outcome:
    """R9: the updates are tiny compared with the weights, and the loss has hardly fallen."""
    loss, ratio, w = record.get("loss"), record.get("update_ratio"), trend_window(record)
    if loss is None or record.step < 2 * w:
        return too_early(record, 2 * w)
    share = share_learned(record)
    if share is not None and share > limit("any.learned_poorly"):
        return NoFinding(f"the loss has come {share:.0%} of the way to its minimum.")
    norms = record.get("grad_norm")
    if norms is not None and median(norms) <= limit("R3.no_gradient"):
        return NoFinding("there is no gradient, so no learning rate would help.")
    if norms is not None and median(norms, w) < limit("R10.gradient") * float(norms.high.max()):
        return NoFinding("the updates are small because the gradient has vanished.")
    sharp, cosine = record.get("sharpness/ratio"), record.get("cosine/gradient")
    small = None if ratio is None else median(ratio)
    below = None if sharp is None else float(sharp.values.max())
    if small is None and below is None:
        return not_recorded("update_ratio")
    steps = (int(loss.steps[0]), int(loss.steps[-1]))
    seen: list[Evidence] = []
    crept = None if small is None else small * record.step
    if small is not None and small < limit("R9.ratio"):
        seen.append(evidence("median update over weight", small, "<", "R9.ratio", series="update_ratio", steps=steps))
    if small is not None and crept is not None and small < limit("R9.slow") and crept < limit("R9.moved"):
        seen.append(
            evidence("sum of all updates over weight", crept, "<", "R9.moved", series="update_ratio", steps=steps)
        )
    if below is not None and below < limit("R9.sharpness"):
        seen.append(
            evidence("sharpness over its limit", below, "<", "R9.sharpness", series="sharpness/ratio", steps=steps)
        )
    if not seen or (below is not None and below > 10 * limit("R9.sharpness")):
        return NoFinding("the updates are not tiny compared with the weights.")
    if share is None and (cosine is None or median(cosine) < limit("R9.cosine")):
        return NoFinding("the updates are short, but there is no scale to say that they are too short.")
    if cosine is not None and (same := median(cosine)) > limit("R9.cosine"):
        seen.append(evidence("median cosine of successive gradients", same, ">", "R9.cosine", series="cosine/gradient"))
    factor, clip = _factor(small, below), clipped_share(record)
    if clip is not None:
        seen.append(evidence("clip over median gradient norm", clip, "<", "R9.clipped", series="grad_norm"))
    now = tail_mean(loss, w)
    return Finding(
        level="fault" if record.ended or record.step > record.plan.total_steps // 2 else "warning",
        verdict="lr_too_small",
        text=f"Each update changes the weights by {small:.1e} of their norm, and the loss is still {now.value:.4g}."
        if small is not None
        else f"The learning rate is {below:.1e} of what the curvature allows, and the loss is still {now.value:.4g}.",
        confidence=min(0.95, 0.7 + 0.1 * len(seen)),
        steps=steps,
        evidence=seen,
        patch=remedies.scale_rates(record.plan, factor) if clip is None else [remedies.replace("/clip", None)],
        remedy=f"Use {factor:g} times the learning rate; a range test shows how high it can be."
        if clip is None
        else f"Do not clip: every gradient is reduced to about {clip:.1e} of its norm.",
        expect=Expect("the loss falls faster by about that factor", "it falls as slowly, or rises"),
        probes=("range_test",),
        rank=1,
    )


def _factor(small: float | None, below: float | None) -> float:
    """Return the factor to a usual update size, a power of ten, up to half of the stability limit."""
    wanted = (
        10.0 if small is None else remedies.nearest_power_of_ten(limit("R9.good_ratio") / max(small, 1e-30), 10, 1e4)
    )
    return wanted if not below else min(wanted, max(2.0, remedies.round_to_digits(0.5 / below, 1)))
