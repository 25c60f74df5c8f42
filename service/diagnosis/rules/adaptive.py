"""R16, R17, R18, R25: what goes wrong with a rate for each parameter, and updates too small to be stored."""

import numpy as np

from service.diagnosis import remedies
from service.diagnosis.facts import Facts
from service.diagnosis.finding import Clear, Expect, Found, Outcome, Unknown, early, evidence, fact, missing
from service.diagnosis.plan import ACCUMULATING
from service.diagnosis.progress import learned, scale
from service.diagnosis.thresholds import limit
from service.diagnosis.trend import change, median, window


def stale_moment(facts: Facts) -> Outcome:
    """R16: a late jump of the loss under a second moment that still remembers small gradients, or large ones."""
    plan, loss, w = facts.plan, facts.get("loss"), window(facts)
    beta2 = _beta2(facts)
    if not plan.second_moment or beta2 is None or beta2 < limit("R16.beta2"):
        return Clear("the optimizer has no second moment that remembers for long.")
    if loss is None or facts.step < 4 * w:
        return early(facts, 4 * w)
    late = loss.between(facts.step // 4, facts.step)
    much, middle = scale(facts), float(np.median(late.values))
    place = int(np.argmax(late.high))
    peak, at = float(late.high[place]), int(late.steps[place])
    before = late.between(0, at - 1)
    if (
        much is None
        or peak < limit("R16.spike") * abs(middle)
        or peak - middle < limit("R6.scale") * much
        or len(before) < 3
    ):
        return Clear("the loss has no late jump.")
    noise = float(np.quantile(before.high, 0.99)) if len(before) > 20 else float(before.high.max())
    if peak < limit("R16.spike") * noise:
        return Clear("the highest late losses are no jump but the noise of batches.")
    sharp = facts.get("sharpness/ratio")
    if sharp is None:
        return Unknown(
            f"the loss jumps at step {at}; the preconditioned sharpness there would tell why.", ("sharpness",), True
        )
    ratio = float(sharp.between(max(0, at - w), at + w).values.max(initial=0.0))
    if ratio <= limit("R16.ratio"):
        return Clear(f"the loss jumps at step {at}, but the preconditioned sharpness was {ratio:.2g} of its limit.")
    return Found(
        level="warning",
        verdict="stale_second_moment",
        text=f"The loss jumps to {peak:.3g} at step {at}: the second moment remembers gradients of long ago, "
        "and the step it allowed was too long.",
        confidence=0.75,
        steps=(at, at),
        evidence=[
            evidence("late peak over the median", peak / abs(middle), ">", "R16.spike", series="loss", steps=(at, at)),
            evidence("preconditioned sharpness over its limit", ratio, ">", "R16.ratio", series="sharpness/ratio"),
            evidence("beta2", beta2, ">", "R16.beta2"),
        ],
        patch=remedies.longer_memory_off(plan),
        remedy="Let the second moment forget faster (beta2 0.95), take amsgrad, or clip.",
        expect=Expect("the jumps are gone", "they come as before"),
        explains=("R17",),
    )


def _beta2(facts: Facts) -> float | None:
    optimizer = facts.plan.document["optimizer"]
    found = optimizer["betas"][1] if "betas" in optimizer else optimizer.get("alpha")
    return float(found) if isinstance(found, int | float) else None


def extreme_rates(facts: Facts) -> Outcome:
    """R17: some parameters have a rate far above that of most, or a second moment of 0."""
    if not (facts.plan.second_moment or facts.plan.optimizer in ACCUMULATING):
        return Clear("all parameters have one rate.")
    top, middle, unused = facts.get("rate/q99"), facts.get("rate/q50"), facts.get("rate/unused")
    if top is None or middle is None:
        return missing("rate/q99", "rate/q50")
    w = window(facts)
    if facts.step < 2 * w:
        return early(facts, 2 * w)
    spread = median(top, w) / max(median(middle, w), 1e-300)
    share = 0.0 if unused is None else median(unused, w)
    wide, idle = spread > limit("R17.spread"), share > limit("R17.unused")
    if (drowned := _drowned(facts, median(middle, w))) is not None:
        return drowned
    if not (wide or idle):
        return Clear(f"the 99th percentile of the rates is {spread:.3g} times the median.")
    seen = []
    if wide:
        seen.append(evidence("99th percentile over median rate", spread, ">", "R17.spread", series="rate/q99"))
    if idle:
        seen.append(evidence("parameters whose second moment is 0", share, ">", "R17.unused", series="rate/unused"))
    came = learned(facts)
    poor = came is not None and came < limit("any.learned_poorly")
    return Found(
        level="warning" if wide and poor else "info",
        verdict="eps_dominated_parameters",
        text=(f"Some parameters have {spread:.2g} times the median rate. " if wide else "")
        + (f"{share:.1%} of the parameters never got a gradient: constant features or silent units." if idle else ""),
        confidence=0.6,
        steps=(1, facts.step),
        evidence=seen,
        patch=_larger_eps(facts) if wide else (),
        remedy="Raise eps, and drop features that are constant." if wide else "Drop features that are constant.",
        expect=Expect("with a larger eps the extreme rates are gone and the loss is as good", "the loss is worse"),
    )


def _drowned(facts: Facts, middle: float) -> Found | None:
    """An eps so large that it, and no gradient, decides the rates: the optimizer adapts to nothing."""
    optimizer, came = facts.plan.document["optimizer"], learned(facts)
    eps, rates = optimizer.get("eps"), facts.get("lr")
    if not isinstance(eps, float) or rates is None or came is None or came > 1 - limit("any.learned_little"):
        return None
    most = float(rates.values[-1]) / eps
    if eps < 1e-6 or most <= 0 or middle < limit("R17.eps") * most:
        return None
    return Found(
        level="fault" if came < limit("any.learned_poorly") else "warning",
        verdict="eps_dominated_parameters",
        text=f"At eps {eps:g} most parameters have the rate lr / eps, whatever their gradients are: nothing adapts.",
        confidence=0.85,
        steps=(1, facts.step),
        evidence=[evidence("median rate over lr / eps", middle / most, ">", "R17.eps", series="rate/q50")],
        patch=[remedies.replace("/optimizer/eps", 1e-8)],
        remedy="Set eps to 1e-8, the default.",
        expect=Expect("the loss falls faster", "it falls as before"),
        explains=("R3", "R9"),
    )


def _larger_eps(facts: Facts) -> remedies.Patch:
    eps = facts.plan.document["optimizer"].get("eps")
    return [remedies.replace("/optimizer/eps", min(1e-2, eps * 1e3))] if isinstance(eps, float) else []


def exhausted(facts: Facts) -> Outcome:
    """R18: AdaGrad's sum of squares has grown so far that nothing moves, while the loss still falls."""
    plan = facts.plan
    if plan.optimizer not in ACCUMULATING:
        return Clear("the optimizer does not sum squared gradients up.")
    rate, loss, w = facts.get("rate/q50"), facts.get("loss"), window(facts)
    if rate is None:
        return missing("rate/q50")
    if loss is None or facts.step < 2 * w:
        return early(facts, 2 * w)
    left = median(rate, w) / max(float(rate.values[0]), 1e-300)
    share, moved = learned(facts), change(loss, max(w, facts.step // 4), plan.floor or 0.0)
    if left > limit("R18.left"):
        return Clear(f"the median rate is still {left:.1%} of the first.")
    if moved is None or moved > limit("any.flat") or (share is not None and share > 1 - limit("any.learned_little")):
        return Clear("the rate is spent, but so is what there was to learn.")
    return Found(
        level="fault" if share is None or share < limit("any.learned_poorly") else "warning",
        verdict="accumulator_exhausted",
        text=f"The median rate has fallen to {left:.2%} of the first while the loss still falls: "
        "AdaGrad divides by all gradients so far.",
        confidence=0.85,
        steps=(1, facts.step),
        evidence=[
            evidence("median rate over the first", left, "<", "R18.left", series="rate/q50"),
            fact("change of the loss lately", moved, "Theil-Sen", "loss"),
        ],
        patch=remedies.part("optimizer", {"kind": "adam", "lr": 1e-3}),
        remedy="Take adam or rmsprop, which forget old gradients.",
        expect=Expect("the loss goes on falling", "it stops at the same value"),
        explains=("R9", "R3", "R17"),
    )


def underflow(facts: Facts) -> Outcome:
    """R25: most updates are too small to change the number that a weight is stored as."""
    lost, w = facts.get("underflow_share"), window(facts)
    if lost is None:
        return missing("underflow_share")
    if facts.step < w:
        return early(facts, w)
    share = median(lost, max(w, facts.step // 2))
    if share <= limit("R25.lost"):
        return Clear(f"{share:.1%} of the updates are too small to be stored.")
    ratio = facts.get("update_ratio")
    if ratio is not None and (moving := median(ratio)) > limit("R9.slow"):
        return Clear(f"{share:.0%} of the updates are too small to be stored, and the others are large ({moving:.1e}).")
    came = learned(facts)
    return Found(
        level="fault" if came is None or came < limit("any.learned_poorly") else "info",
        verdict="update_underflow",
        text=f"{share:.0%} of the updates are smaller than half the distance to the next number that can be stored, "
        "so they change nothing.",
        confidence=0.9,
        steps=(1, facts.step),
        evidence=[evidence("updates that change nothing", share, ">", "R25.lost", series="underflow_share")],
        patch=remedies.usual_rate(facts.plan),
        remedy="Train at a rate that is usual for the optimizer.",
        expect=Expect("weights change and the loss falls", "weights change and the loss stays"),
        explains=("R3", "R9"),
    )
