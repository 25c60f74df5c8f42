"""R22, R24: a rate that is not what was meant, and settings that change nothing."""

from collections.abc import Sequence

import numpy as np

from service.diagnosis import remedies
from service.diagnosis.facts import Facts
from service.diagnosis.finding import Clear, Expect, Found, Level, Operation, Outcome, early, evidence, fact
from service.diagnosis.progress import learned
from service.diagnosis.thresholds import limit
from service.diagnosis.trend import median, window
from service.spec.group_assignment import assign_groups

LOOKED_AT = 400  # steps whose planned rate is computed
WITHOUT_EFFECT = {"ignored", "no_effect", "never_due"}
CUT = {"cut_short", "rises_again", "stops_learning"}


def schedule(facts: Facts) -> Outcome:
    """R22: the recorded rates against the planned ones, and a plan that spends much of the run hardly moving."""
    plan, rates = facts.plan, facts.get("lr")
    if rates is None or facts.step < window(facts):
        return early(facts, window(facts))
    if (other := _other_than_planned(facts)) is not None:
        return other
    steps = np.unique(np.linspace(1, plan.total_steps, min(LOOKED_AT, plan.total_steps)).astype(np.int64))
    if not plan.predictable:
        return Clear("the rate follows what is measured, which no plan knows before.")
    planned = plan.planned(steps)
    largest = float(planned.max())
    tiny = planned < limit("R22.tiny") * largest
    share = float(tiny.mean())
    below_base = largest < limit("R22.tiny") * plan.spec.optimizer.lr
    again = next((each for each in plan.oddities if each.code == "rises_again"), None)
    if again is not None:
        return _rising(facts, f"/schedule{again.pointer.removeprefix('/schedule')}", again.detail)
    if share <= limit("R22.wasted") and not below_base:
        return Clear("the rates are the planned ones, and the plan uses most of the run.")
    came = learned(facts)
    return Found(
        level="warning" if came is not None and came > limit("any.learned_poorly") else "fault",
        verdict="schedule_mismatch",
        text=f"For {share:.0%} of the run the planned rate is below a thousandth of its largest: nothing is learned "
        f"there. The schedule counts {plan.spec.schedule_unit}s; was the other unit meant?",
        confidence=0.85,
        steps=(int(steps[tiny][0]) if tiny.any() else 1, plan.total_steps),
        evidence=[
            evidence("share of the run with hardly any rate", share, ">", "R22.wasted", series="lr"),
            *(fact(f"/schedule{each.pointer}", each.detail) for each in plan.oddities if each.code in CUT),
        ],
        patch=_mended(facts, share),
        remedy="Count the schedule in the other unit, or fit its length to the run.",
        expect=Expect("the loss goes on falling to the end", "it stops where it did"),
        explains=("R3", "R9", "R10", "R25"),
    )


def _rising(facts: Facts, pointer: str, detail: str) -> Found:
    """A fall that ends before the run does, and turns into a rise."""
    return Found(
        level="warning",
        verdict="schedule_mismatch",
        text=f"The rate falls and rises again before the run ends ({pointer}): {detail}",
        confidence=0.8,
        steps=(1, facts.plan.total_steps),
        evidence=[fact(pointer, detail)],
        patch=remedies.part("schedule", {"kind": "cosine"}),
        remedy="Let the schedule be as long as the run.",
        expect=Expect("the loss ends lower", "the loss ends as it did"),
    )


def _other_than_planned(facts: Facts) -> Found | None:
    """A recorded rate that the plan does not give."""
    plan, rates = facts.plan, facts.series["lr"]
    if not plan.predictable or plan.spec.precision == "fp16":  # a step that fp16 skips does not count for a schedule
        return None
    single = rates.low == rates.high  # buckets within which it changes say nothing of a single step
    steps, values = rates.steps[single], rates.values[single]
    if not len(steps):
        return None
    chosen = np.unique(np.linspace(0, len(steps) - 1, min(LOOKED_AT, len(steps))).astype(np.int64))
    planned, recorded, at = plan.planned(steps[chosen]), values[chosen], steps[chosen]
    apart = np.abs(recorded - planned) / np.maximum(np.abs(planned), 1e-300)
    apart[np.abs(recorded - planned) < 1e-15] = 0
    if float(apart.max()) <= limit("R22.apart"):
        return None
    place = int(np.argmax(apart > limit("R22.apart")))
    return Found(
        level="fault",
        verdict="schedule_mismatch",
        text=f"At step {at[place]} the rate was {recorded[place]:.4g}, and {planned[place]:.4g} is planned.",
        confidence=0.95,
        steps=(int(at[place]), facts.step),
        evidence=[evidence("distance from the plan", float(apart[place]), ">", "R22.apart", series="lr")],
        remedy="Report it: recorded and planned rates should always agree.",
        expect=Expect("a replay shows the same", "a replay follows the plan"),
    )


def _mended(facts: Facts, share: float) -> remedies.Patch:
    """The other unit where that uses the run, else half a cosine over all of it."""
    other = "epoch" if facts.plan.spec.schedule_unit == "step" else "step"
    patch = [remedies.replace("/schedule_unit", other)]
    spec = remedies.submittable(facts.plan, patch)
    if spec is not None:
        steps = np.unique(np.linspace(1, spec.total_steps, min(LOOKED_AT, spec.total_steps)).astype(np.int64))
        planned = np.array([spec.rate(int(step)) for step in steps])
        if float((planned < limit("R22.tiny") * planned.max()).mean()) < share / 2:
            return patch
    return remedies.part("schedule", {"kind": "cosine"})


def without_effect(facts: Facts) -> Outcome:
    """R24: parameters that are not trained, layers that never change, and settings that something overrides."""
    plan = facts.plan
    layout = plan.spec.layout or ()
    groups = assign_groups(plan.spec) if layout else ()
    frozen = {name for group in groups if group.optimizer is None for name in group.names}
    trained = sum(each.count for each in layout if each.name not in frozen)
    share = 1 - trained / sum(each.count for each in layout) if layout else 0.0
    if still := _still(facts):
        said = f"The layer {still} gets no update at any step, though it is not frozen."
        return _effectless(facts, said, "warning", 0.7, [], 1)
    if share > limit("R24.frozen"):
        rules = [number for number, rule in enumerate(plan.spec.groups) if rule.freeze]
        patch = [{"op": "remove", "path": f"/groups/{number}"} for number in reversed(rules)]
        came = learned(facts)
        poor = came is not None and came < limit("any.learned_poorly")
        said = f"Most of the model is frozen: {share:.0%} of its parameters are not trained."
        return _effectless(facts, said, "fault" if poor else "info", 0.9, patch, len(frozen))
    odd = [each for each in plan.oddities if each.code in WITHOUT_EFFECT]
    if odd:
        return _effectless(
            facts, f"A setting has no effect: {odd[0].pointer}: {odd[0].detail}", "info", 0.9, [], len(odd)
        )
    return Clear("every group has parameters, and what is not frozen is updated.")


def _still(facts: Facts) -> str | None:
    """A layer that is to be trained and whose weights never moved."""
    if facts.step < window(facts):
        return None
    trained = (
        {name.rpartition(".")[0] for g in assign_groups(facts.plan.spec) if g.optimizer for name in g.names}
        if (facts.plan.spec.layout is not None)
        else set()
    )
    ratios = facts.layers("update_ratio")
    moving = any(median(curve) > 0 for curve in ratios.values())
    return next((path for path, c in ratios.items() if path in trained and moving and float(c.high.max()) == 0), None)


def _effectless(
    facts: Facts, text: str, level: Level, confidence: float, patch: Sequence[Operation], count: int
) -> Found:
    return Found(
        level=level,
        verdict="setting_had_no_effect",
        text=text,
        confidence=confidence,
        steps=(1, max(1, facts.step)),
        evidence=[fact("settings or parameters concerned", count)],
        patch=patch,
        remedy="Unfreeze what is to be trained." if patch else "Remove the setting, or what overrides it.",
        expect=Expect("without it the curve is another", "the curve stays the same, bit for bit"),
        explains=("R3", "R9", "R10", "R11") if level == "fault" else (),
    )
