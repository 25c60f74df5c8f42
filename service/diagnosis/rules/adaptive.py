"""R16, R17, R18, R25: faults of adaptive optimizers, and updates too small to be stored."""

import numpy as np

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
from service.diagnosis.progress import loss_scale, share_learned
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.diagnosis.trend import median, relative_change, trend_window


def stale_second_moment(record: RunRecord) -> Outcome:
    """R16: the loss jumps late in the run, while the second moment still reflects old gradients."""
    plan, loss, w = record.plan, record.get("loss"), trend_window(record)
    beta2 = _beta2(record)
    if not plan.second_moment or beta2 is None or beta2 < limit("R16.beta2"):
        return NoFinding("the optimizer has no second moment with a long memory.")
    if loss is None or record.step < 4 * w:
        return too_early(record, 4 * w)
    late = loss.between(record.step // 4, record.step)
    much, middle = loss_scale(record), float(np.median(late.values))
    place = int(np.argmax(late.high))
    peak, at = float(late.high[place]), int(late.steps[place])
    before = late.between(0, at - 1)
    if (
        much is None
        or peak < limit("R16.spike") * abs(middle)
        or peak - middle < limit("R6.scale") * much
        or len(before) < 3
    ):
        return NoFinding("the loss has no late jump.")
    noise = float(np.quantile(before.high, 0.99)) if len(before) > 20 else float(before.high.max())
    if peak < limit("R16.spike") * noise:
        return NoFinding("the highest late losses are within the noise of minibatches.")
    sharp = record.get("sharpness/ratio")
    if sharp is None:
        return Inconclusive(
            f"the loss jumps at step {at}; the preconditioned sharpness would show why.", ("sharpness",), True
        )
    ratio = float(sharp.between(max(0, at - w), at + w).values.max(initial=0.0))
    if ratio <= limit("R16.ratio"):
        return NoFinding(f"the loss jumps at step {at}, but the preconditioned sharpness was {ratio:.2g} of its limit.")
    return Finding(
        level="warning",
        verdict="stale_second_moment",
        text=f"The loss jumps to {peak:.3g} at step {at}: the optimizer's average of squared gradients "
        f"(beta2 {beta2:g}) still reflects much smaller gradients of long before, and allowed too long a step.",
        confidence=0.75,
        steps=(at, at),
        evidence=[
            evidence("late peak over the median", peak / abs(middle), ">", "R16.spike", series="loss", steps=(at, at)),
            evidence("preconditioned sharpness over its limit", ratio, ">", "R16.ratio", series="sharpness/ratio"),
            evidence("beta2", beta2, ">", "R16.beta2"),
        ],
        patch=remedies.shorten_memory(plan),
        remedy="Shorten the memory of the second moment (beta2 0.95), use amsgrad, or clip gradients.",
        expect=Expect("the jumps disappear", "the loss still jumps"),
    )


def _beta2(record: RunRecord) -> float | None:
    optimizer = record.plan.document["optimizer"]
    found = optimizer["betas"][1] if "betas" in optimizer else optimizer.get("alpha")
    return float(found) if isinstance(found, int | float) else None


def extreme_effective_rates(record: RunRecord) -> Outcome:
    """R17: some parameters have a far higher effective rate than most, or a second moment of 0."""
    if not (record.plan.second_moment or record.plan.accumulates):
        return NoFinding("all parameters share one rate.")
    top, middle, unused = record.get("rate/q99"), record.get("rate/q50"), record.get("rate/unused")
    if top is None or middle is None:
        return not_recorded("rate/q99", "rate/q50")
    w = trend_window(record)
    if record.step < 2 * w:
        return too_early(record, 2 * w)
    spread = median(top, w) / max(median(middle, w), 1e-300)
    share = 0.0 if unused is None else median(unused, w)
    wide, idle = spread > limit("R17.spread"), share > limit("R17.unused")
    if (drowned := _drowned(record, median(middle, w))) is not None:
        return drowned
    came = share_learned(record)
    if not (wide or idle) or (came is not None and came > limit("any.learned_poorly")):
        return NoFinding(f"the 99th percentile of the rates is {spread:.3g} times the median, and the run learns.")
    seen = []
    if wide:
        seen.append(evidence("99th percentile over median rate", spread, ">", "R17.spread", series="rate/q99"))
    if idle:
        seen.append(evidence("parameters whose second moment is 0", share, ">", "R17.unused", series="rate/unused"))
    return Finding(
        level="info",  # rates differ widely wherever gradients do: a side effect, hardly ever the cause
        strong=False,
        rank=2,
        verdict="eps_dominated_parameters",
        text=(f"Some parameters have {spread:.2g} times the median rate. " if wide else "")
        + (
            f"{share:.1%} of the parameters never received a gradient: constant features or dead units." if idle else ""
        ),
        confidence=0.6,
        steps=(1, record.step),
        evidence=seen,
        patch=_larger_eps(record) if wide else (),
        remedy="Raise eps, and drop constant features." if wide else "Drop constant features.",
        expect=Expect("with a larger eps the extreme rates disappear and the loss is as good", "the loss is worse"),
    )


def _drowned(record: RunRecord, middle: float) -> Finding | None:
    """Return the finding for an eps that dominates the second moment, so that rates no longer adapt."""
    optimizer, came = record.plan.document["optimizer"], share_learned(record)
    eps, rates = optimizer.get("eps"), record.get("lr")
    if not isinstance(eps, float) or rates is None or came is None or came > 1 - limit("any.learned_little"):
        return None
    most = float(rates.values[-1]) / eps
    if eps < 1e-6 or most <= 0 or middle < limit("R17.eps") * most:
        return None
    return Finding(
        level="fault" if came < limit("any.learned_poorly") else "warning",
        verdict="eps_dominated_parameters",
        text=f"With eps {eps:g} most parameters have the rate lr / eps whatever their gradients: nothing is adaptive.",
        confidence=0.85,
        steps=(1, record.step),
        evidence=[evidence("median rate over lr / eps", middle / most, ">", "R17.eps", series="rate/q50")],
        patch=[remedies.replace("/optimizer/eps", 1e-8)],
        remedy="Set eps to 1e-8, the default.",
        expect=Expect("the loss falls faster", "it falls no faster"),
    )


def _larger_eps(record: RunRecord) -> remedies.Patch:
    eps = record.plan.document["optimizer"].get("eps")
    return [remedies.replace("/optimizer/eps", min(1e-2, eps * 1e3))] if isinstance(eps, float) else []


def exhausted_accumulator(record: RunRecord) -> Outcome:
    """R18: AdaGrad's sum of squared gradients has stopped the updates while the loss still falls."""
    plan = record.plan
    if not plan.accumulates:
        return NoFinding("the optimizer does not accumulate squared gradients.")
    rate, loss, w = record.get("rate/q50"), record.get("loss"), trend_window(record)
    if rate is None:
        return not_recorded("rate/q50")
    if loss is None or record.step < 2 * w:
        return too_early(record, 2 * w)
    left = median(rate, w) / max(float(rate.values[0]), 1e-300)
    share, moved = share_learned(record), relative_change(loss, max(w, record.step // 4), plan.floor or 0.0)
    if left > limit("R18.left"):
        return NoFinding(f"the median rate is still {left:.1%} of the first.")
    if moved is None or moved > limit("any.flat") or (share is not None and share > 1 - limit("any.learned_little")):
        return NoFinding("the rate has decayed, but the loss has also stopped falling.")
    return Finding(
        level="fault" if share is None or share < limit("any.learned_poorly") else "warning",
        verdict="accumulator_exhausted",
        text=f"The median rate has fallen to {left:.2%} of the first while the loss still falls: "
        "AdaGrad divides by the sum of all squared gradients.",
        confidence=0.85,
        steps=(1, record.step),
        evidence=[
            evidence("median rate over the first", left, "<", "R18.left", series="rate/q50"),
            observation("recent change of the loss", moved, "Theil-Sen", "loss"),
        ],
        patch=remedies.replace_part("optimizer", {"kind": "adam", "lr": 1e-3}),
        remedy="Use adam or rmsprop, which forget old gradients.",
        expect=Expect("the loss keeps falling", "it stops at the same value"),
    )


def update_underflow(record: RunRecord) -> Outcome:
    """R25: most updates are too small to change the stored weight."""
    lost, w = record.get("underflow_share"), trend_window(record)
    if lost is None:
        return not_recorded("underflow_share")
    if record.step < w:
        return too_early(record, w)
    share = median(lost, max(w, record.step // 2))
    if share <= limit("R25.lost"):
        return NoFinding(f"{share:.1%} of the updates are too small to be stored.")
    ratio = record.get("update_ratio")
    if ratio is not None and (moving := median(ratio)) > limit("R9.slow"):
        return NoFinding(
            f"{share:.0%} of the updates are too small to be stored, and the others are large ({moving:.1e})."
        )
    norms = record.get("grad_norm")
    if norms is not None and median(norms, w) < limit("R10.gradient") * float(norms.high.max()):
        return NoFinding("the updates are small because the gradient has vanished.")
    came = share_learned(record)
    return Finding(
        level="fault" if came is None or came < limit("any.learned_poorly") else "info",
        verdict="update_underflow",
        text="The learning rate is 0: no update changes a weight."
        if record.plan.spec.optimizer.lr == 0
        else f"{share:.0%} of the updates are below half the distance to the next representable number, "
        "so they change nothing.",
        confidence=0.9,
        steps=(1, record.step),
        evidence=[evidence("updates that change nothing", share, ">", "R25.lost", series="underflow_share")],
        patch=remedies.use_usual_rate(record.plan),
        remedy="Use a learning rate that is usual for the optimizer.",
        expect=Expect("weights change and the loss falls", "weights change and the loss does not fall"),
    )
