"""R6, R19: steps that are too long, always or only at the start."""

from dataclasses import dataclass, replace

import numpy as np

from service.analysis.run_data import Series
from service.diagnosis import remedies
from service.diagnosis.finding import Evidence, Expect, Finding, NoFinding, Outcome, Relation, evidence, too_early
from service.diagnosis.progress import first_loss, least_share, loss_scale, share_learned, trivial_loss
from service.diagnosis.rules.blame import momentum_blame
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.diagnosis.trend import (
    longest_stretch,
    median,
    relative_change,
    smoothed,
    tail_mean,
    trend_window,
    window_means,
)

SETTLED = 4  # points before the moving average is meaningful


@dataclass(frozen=True)
class Rise:
    """A stretch of steps in which the loss rose."""

    why: str
    steps: tuple[int, int]
    evidence: list[Evidence]
    confidence: float
    isolated: bool = False  # a jump in a training that had gone well


def divergence(record: RunRecord) -> Outcome:
    """R6: the loss climbs, ends above where it began, or blows up at the start and never recovers."""
    loss, w = record.get("loss"), trend_window(record)
    if loss is None or record.step < min(w, 20):
        return too_early(record, min(w, 20))
    rise = _climbs(record) or _worse(record) or _blown_up(record) or _erratic(record) or _above(record)
    if rise is None:
        return NoFinding("the loss never rises for long and is below its first value.")
    if (tail := _heavy_tail(record)) is not None:
        return _far_targets(record, rise, tail)
    sharp = _sharpness(record)
    norms = record.get("grad_norm")
    peak = 0.0 if norms is None else float(norms.high.max() / max(np.median(norms.values), 1e-30))
    seen = [*rise.evidence]
    if norms is not None:
        relation: Relation = ">" if peak > limit("R6.outlier") else "<"
        seen.append(evidence("largest over median gradient norm", peak, relation, "R6.outlier", series="grad_norm"))
    if sharp is not None:
        seen.append(
            evidence(
                "sharpness over its limit", sharp, ">" if sharp > 1 else "<", "R16.ratio", series="sharpness/ratio"
            )
        )
    few = norms is not None and _few(norms, rise.steps[0])
    if (goes_on := momentum_blame(record)) is not None:
        seen = [*seen, *goes_on.seen]
        found = _too_high(record, rise, seen, sharp)
        return replace(found, text=f"{rise.why}: {goes_on.why}", patch=goes_on.patch, remedy=goes_on.remedy)
    outlier = rise.isolated and few and peak > limit("R6.outlier") and (sharp is None or sharp <= 1)
    return _outlier(record, rise, seen) if outlier else _too_high(record, rise, seen, sharp)


def _heavy_tail(record: RunRecord) -> float | None:
    """Return the targets' mean over standard deviation, where a few of them are far from all others."""
    reading = record.reading("start")
    deviation = None if reading is None else reading.number("target_deviation")
    variance = None if reading is None else reading.number("target_variance")
    if not deviation or not variance:
        return None
    share = deviation / variance**0.5
    return share if share < limit("R6.tail") else None


def _far_targets(record: RunRecord, rise: Rise, tail: float) -> Finding:
    return Finding(
        level="fault",
        verdict="outlier_gradient",
        text=f"{rise.why}: a few targets are far from all others (mean deviation {tail:.0%} of the standard deviation, "
        "80 % for normal values), and batches that hold one have gradients unlike all others.",
        confidence=0.75,
        steps=rise.steps,
        evidence=[evidence("mean over standard deviation of the targets", tail, "<", "R6.tail"), *rise.evidence],
        patch=remedies.replace_part("loss", {"kind": "huber"}) if record.plan.loss == "mse" else [],
        remedy="Look at the largest targets: correct a slip of units, take logarithms, or use huber or mae.",
        expect=Expect("without these rows the loss falls", "it varies as before"),
    )


def _few(norms: Series, start: int) -> bool:
    """Return whether only a few gradients are much larger than before the rise; too high a rate enlarges all."""
    before = norms.values[norms.steps < start]
    if len(before) < SETTLED:
        return False
    large = norms.values > limit("R6.outlier") * np.median(before)
    return float(large.mean()) <= limit("R6.few")


def _too_high(record: RunRecord, rise: Rise, seen: list[Evidence], sharp: float | None) -> Finding:
    factor = 0.1 if sharp is None or sharp <= 1 else min(0.5, 0.5 / sharp)
    return Finding(
        level="fault",
        verdict="lr_above_stability",
        text=f"{rise.why}: the steps are longer than the curvature allows.",
        confidence=0.95 if sharp is not None and sharp > 1 else rise.confidence,
        steps=rise.steps,
        evidence=seen,
        patch=remedies.scale_rates(record.plan, factor),
        remedy=f"Use {factor:.2g} times the learning rate.",
        expect=Expect("the loss falls and stays below its first value", "it still climbs"),
        probes=() if sharp is not None else ("sharpness", "range_test"),
    )


def _outlier(record: RunRecord, rise: Rise, seen: list[Evidence]) -> Finding:
    norms = record.get("grad_norm")
    assert norms is not None
    clipped = record.get("clipped_share")
    often = clipped is not None and float(clipped.values[-1]) > limit("R6.clipped")
    norm = float(np.quantile(norms.values, 0.9))
    patch = remedies.scale_rates(record.plan, 0.3) if often or record.plan.spec.clip else remedies.clip_gradients(norm)
    return Finding(
        level="fault",
        verdict="outlier_gradient",
        text=f"{rise.why} after a few gradients that are far larger than all others.",
        confidence=0.7,
        steps=rise.steps,
        evidence=seen,
        patch=patch,
        remedy="Lower the learning rate: gradients are already clipped often."
        if often
        else f"Clip gradients at norm {norm:.3g}.",
        expect=Expect("the loss does not jump", "it still jumps, so the learning rate is too high"),
        probes=("sharpness",),
    )


def _sharpness(record: RunRecord) -> float | None:
    found = record.get("sharpness/ratio")
    return None if found is None else float(found.values.max())


def _climbs(record: RunRecord) -> Rise | None:
    """Return a rise of the smoothed loss to over 3 times its minimum, for a whole window, that still lasts."""
    loss, much, w = record.get("loss"), loss_scale(record), trend_window(record)
    assert loss is not None
    if much is None:
        return None
    floor = record.plan.floor if record.plan.floor is not None else float(loss.low.min())
    curve = smoothed(loss) - floor
    least = np.minimum.accumulate(curve)
    risen = (curve > limit("R6.rise") * least) & (curve - least > limit("R6.scale") * much)
    stretch = longest_stretch(risen, loss.steps)
    if stretch is None or stretch[1] - stretch[0] + 1 < w or stretch[1] < loss.steps[-1]:
        return None
    worst = float(curve[risen].max() / max(float(least[risen].min()), 1e-30))
    seen = evidence("smoothed loss over its minimum", worst, ">", "R6.rise", series="loss", steps=stretch)
    before = float(least[np.searchsorted(loss.steps, stretch[0])])
    return Rise("The loss rose far above its minimum", stretch, [seen], 0.8, before < 0.5 * much)


def _worse(record: RunRecord) -> Rise | None:
    """Return a rise of the last losses above the first one."""
    loss, before, much = record.get("loss"), first_loss(record), loss_scale(record)
    assert loss is not None
    now = tail_mean(loss, trend_window(record))
    if before is None or much is None or now.value - 2 * now.error <= before.value + limit("R6.worse") * much:
        return None
    at = before.value + limit("R6.worse") * much
    seen = evidence("loss now", now.value, ">", "R6.worse", series="loss", steps=now.steps, at=at)
    where = f"than when it continued from step {record.origin}" if record.origin else "than before the first step"
    return Rise(f"The loss is higher {where}", now.steps, [seen], 0.85)


def _blown_up(record: RunRecord) -> Rise | None:
    """Return an early blow-up, after which nothing was learned."""
    loss, before, share = record.get("loss"), first_loss(record), share_learned(record)
    assert loss is not None
    start = loss.between(0, max(20, record.plan.total_steps // 10))
    if before is None or before.value <= 0 or not len(start):
        return None
    peak = float(start.high.max())
    if peak < limit("R6.peak") * before.value or (share is not None and share > limit("any.learned_little")):
        return None
    steps = (int(start.steps[0]), int(start.steps[-1]))
    at = limit("R6.peak") * before.value
    seen = evidence("highest early loss", peak, ">", "R6.peak", series="loss", steps=steps, at=at)
    return Rise(f"The loss rose to {peak:.4g} at the start, and nothing has been learned since", steps, [seen], 0.8)


def _erratic(record: RunRecord) -> Rise | None:
    """Return late losses that vary by as much as could be learned, while nothing is learned."""
    loss, much, share = record.get("loss"), loss_scale(record), share_learned(record)
    assert loss is not None
    if much is None or share is None or share > limit("any.learned_little"):
        return None
    late = loss.between(record.step - max(trend_window(record), record.step // 2) + 1, record.step)
    spread = float(
        np.std([block.value for block in window_means(late, trend_window(record) // 2)])
    )  # not that of single batches
    at = limit("R6.erratic") * much
    if spread <= at:
        return None
    steps = (int(late.steps[0]), int(late.steps[-1]))
    seen = evidence("spread of late means", spread, ">", "R6.erratic", series="loss", steps=steps, at=at)
    return Rise("The loss varies widely without learning anything", steps, [seen], 0.7)


def _above(record: RunRecord) -> Rise | None:
    """Return a loss that stays above that of a constant prediction, with steps of usual size or larger.

    The last layer's bias alone can learn a constant; steps that miss even that are too long.
    """
    loss, reference, ratio = record.get("loss"), trivial_loss(record), record.get("update_ratio")
    half = max(trend_window(record), record.step // 2)
    if (
        loss is None
        or reference is None
        or ratio is None
        or record.plan.loss == "softmax_mse"
        or record.step < 2 * half
    ):
        return None
    now, at = tail_mean(loss, half), reference.value * (1 + limit("R3.near"))
    moved = relative_change(loss, half, record.plan.floor or 0.0)
    falls = moved is not None and moved < -limit("any.flat")
    if now.value - 2 * now.error <= at or falls or median(ratio, half) < limit("R9.good_ratio"):
        return None
    seen = evidence("late loss", now.value, ">", "R3.near", series="loss", steps=now.steps, at=at)
    return Rise("The loss is flat above that of a constant prediction", now.steps, [seen], 0.7)


def early_instability(record: RunRecord) -> Outcome:
    """R19: the loss rose in the first twentieth of the run and fell afterwards."""
    loss, before, much = record.get("loss"), first_loss(record), loss_scale(record)
    span = max(10, round(limit("R19.early") * record.plan.total_steps))
    if loss is None or record.step < 2 * span:
        return too_early(record, 2 * span)
    start = loss.between(0, span)
    if before is None or much is None or len(start) <= SETTLED:
        return NoFinding("the first twentieth of the run has too few steps.")
    reference = trivial_loss(record)
    base = before.value if reference is None else max(before.value, reference.value)  # the first batch may be easy
    peak, at = float(smoothed(start)[SETTLED:].max()), base + (limit("R19.rise") - 1) * much
    if peak <= at:
        return NoFinding("the loss does not rise in the first twentieth of the run.")
    steps = (int(start.steps[0]), int(start.steps[-1]))
    recovered = tail_mean(loss, trend_window(record)).value < before.value
    longer = max(10, min(1000, round(0.1 * record.plan.spec.schedule_total)))
    if (times := remedies.over_usual_rate(record.plan)) > limit("R19.rate"):
        seen = evidence("highest over usual rate", times, ">", "R19.rate")
        rise = Rise(f"The loss rose to {peak:.4g} at a rate {times:,.0f} times the usual one", steps, [seen], 0.8)
        return _too_high(record, rise, rise.evidence, None)
    return Finding(
        level="warning" if recovered else "fault",
        verdict="needs_warmup",
        text=f"The loss rose to {peak:.4g} within the first {span} steps"
        + (" and fell afterwards" if recovered else "")
        + ": either the learning rate is too high at the start only, so that a warmup is missing, or it is too high "
        "throughout.",
        confidence=0.6,
        steps=steps,
        evidence=[evidence("highest smoothed early loss", peak, ">", "R19.rise", series="loss", steps=steps, at=at)],
        patch=remedies.add_warmup(record.plan, longer),
        remedy=f"Warm up the learning rate over the first {longer} updates; this tells the two apart. If the loss then "
        "rises at the full rate, use a third of the rate.",
        expect=Expect("the loss falls from the start and ends no higher", "it rises later, at the full rate"),
        probes=("sharpness",),
    )


def long_memory(record: RunRecord) -> Outcome:
    """R35: momentum that averages over far more updates than usual, in a run that holds less than it could.

    Its steps are as long as at a rate so many times higher; where that does not make the loss rise, it overfits sooner.
    """
    found, held = momentum_blame(record), least_share(record)
    if found is None:
        return NoFinding("no momentum averages over more than fifty updates.")
    if held is None or held > limit("R35.held"):
        return NoFinding("momentum averages over many updates, and the run learns.")
    return Finding(
        level="fault" if held < limit("any.learned_poorly") else "warning",
        verdict=found.verdict,
        text=f"{max(held, 0.0):.0%} of the way is done, and {found.why}",
        confidence=found.confidence,
        steps=(1, max(1, record.step)),
        evidence=[*found.seen, evidence("share of the way", held, "<", "R35.held", series="loss")],
        patch=found.patch,
        remedy=found.remedy,
        expect=Expect("the loss ends lower, on validation rows too", "it ends where it did"),
    )
