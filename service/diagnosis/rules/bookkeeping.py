"""R22, R24: schedules that do not fit the run, and settings without effect."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from service.diagnosis import remedies
from service.diagnosis.finding import (
    Expect,
    Finding,
    Level,
    NoFinding,
    Operation,
    Outcome,
    evidence,
    observation,
    too_early,
)
from service.diagnosis.progress import least_share, share_learned
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.diagnosis.trend import mean, median, trend_window
from service.spec.group_assignment import assign_groups

LOOKED_AT = 400  # steps whose planned rate is computed
WITHOUT_EFFECT = {"ignored", "no_effect", "never_due"}
PROBES = "/probes"  # these only observe, and the default ones are nobody's choice
CUT = {"cut_short", "rises_again", "stops_learning"}


def schedule_mismatch(record: RunRecord) -> Outcome:
    """R22: recorded rates differ from the planned ones, or the planned rate is near 0 for much of the run."""
    plan, rates = record.plan, record.get("lr")
    if rates is None or record.step < trend_window(record):
        return too_early(record, trend_window(record))
    if (other := _other_than_planned(record)) is not None:
        return other
    again = next((each for each in plan.spec_warnings if each.code == "rises_again"), None)
    if plan.predictable and again is not None:
        return _rising(record, f"/schedule{again.pointer.removeprefix('/schedule')}", again.detail)
    course = _Course.of(record)
    came = share_learned(record)
    below_base = plan.predictable and course.largest < limit("R22.tiny") * plan.spec.optimizer.lr
    wasted = course.tiny > limit("R22.wasted") or below_base
    early = course.low > limit("R22.wasted") or course.average < limit("R22.mean")
    poorly = came is not None and came < limit("any.learned_poorly")
    if not wasted and not (early and poorly) and not _left_falling(record, course):
        return NoFinding("the rates match the plan, and the plan uses most of the run.")
    return _too_early(record, course, came, wasted)


def _left_falling(record: RunRecord, course: "_Course") -> bool:
    """Whether the mean rate is far below the largest, and the loss falls even so: the rate went before it was done."""
    loss, reached, floor, quarter = record.get("loss"), least_share(record), record.plan.floor, record.step // 4
    if loss is None or reached is None or floor is None or course.average >= limit("R29.schedule"):
        return False
    early, late = mean(loss.between(quarter + 1, 2 * quarter)), mean(loss.between(3 * quarter + 1, record.step))
    if early is None or late is None or reached > limit("R22.early"):
        return False
    return early.value - late.value > limit("R33.fallen") * (early.value - floor)


class _Course(NamedTuple):
    """The rate over the run: as planned, or as recorded where a measured series decides it."""

    largest: float
    average: float  # over the largest
    tiny: float  # share of the run below a thousandth of the largest
    low: float  # share of the run at a hundredth of the largest or below
    first_tiny: int  # step

    @classmethod
    def of(cls, record: RunRecord) -> "_Course":
        plan = record.plan
        if plan.predictable:
            steps = np.unique(np.linspace(1, plan.total_steps, min(LOOKED_AT, plan.total_steps)).astype(np.int64))
            rates = plan.planned_rates(steps)
        else:
            steps, rates = record.series["lr"].steps, record.series["lr"].values
        largest = max(float(rates.max()), 1e-300)
        tiny, low = rates < limit("R22.tiny") * largest, rates < limit("R22.low") * largest
        fallen = low & (steps > steps[int(np.argmax(rates))])  # a warmup is low before its top
        first = int(steps[tiny][0]) if tiny.any() else int(steps[fallen][0]) if fallen.any() else 1
        return cls(float(rates.max()), float(rates.mean()) / largest, float(tiny.mean()), float(fallen.mean()), first)


def _too_early(record: RunRecord, course: _Course, came: float | None, wasted: bool) -> Finding:
    """Return the finding for a rate that is almost 0 for much of the run, or falls before the run has learned."""
    plan = record.plan
    if wasted:
        text = (
            f"For {course.tiny:.0%} of the run the rate is below a thousandth of its maximum: nothing is learned then."
        )
        seen = evidence("share of the run with almost no rate", course.tiny, ">", "R22.wasted", series="lr")
    elif course.low > limit("R22.wasted"):
        text = (
            f"For {course.low:.0%} of the run the rate is at most a hundredth of its maximum, and little was learned."
        )
        seen = evidence("share of the run at a low rate", course.low, ">", "R22.wasted", series="lr")
    else:
        text = f"The rate is on average {course.average:.1%} of its maximum: it fell before the run had learned."
        key = "R22.mean" if course.average < limit("R22.mean") else "R29.schedule"
        seen = evidence("mean over largest rate", course.average, "<", key, series="lr")
    unit = f" The schedule counts {plan.spec.schedule_unit}s; was the other unit meant?" if plan.predictable else ""
    return Finding(
        level="warning" if came is not None and came > limit("any.learned_poorly") else "fault",
        verdict="schedule_mismatch",
        text=text + unit,
        confidence=0.85,
        steps=(course.first_tiny, plan.total_steps),
        evidence=[
            seen,
            *(observation(f"/schedule{each.pointer}", each.detail) for each in plan.spec_warnings if each.code in CUT),
        ],
        patch=_mended(record, course.tiny),
        remedy="Count the schedule in the other unit, or fit its length to the run."
        if plan.predictable
        else "Give the schedule more patience, or measure its series less often.",
        expect=Expect("the loss keeps falling to the end", "it stops where it did"),
        rank=-1,
    )


def _rising(record: RunRecord, pointer: str, detail: str) -> Finding:
    """Return the finding for a rate that falls and rises again before the run ends."""
    return Finding(
        level="warning",
        verdict="schedule_mismatch",
        text=f"The rate falls and rises again before the run ends ({pointer}): {detail}",
        confidence=0.8,
        steps=(1, record.plan.total_steps),
        evidence=[observation(pointer, detail)],
        patch=remedies.replace_part("schedule", {"kind": "cosine"}),
        remedy="Make the schedule as long as the run.",
        expect=Expect("the loss ends lower", "the loss ends where it did"),
        strong=False,
    )


def _other_than_planned(record: RunRecord) -> Finding | None:
    """Return the finding for a recorded rate that differs from the planned one."""
    plan, rates = record.plan, record.series["lr"]
    if not plan.predictable or plan.spec.precision == "fp16":  # a step that fp16 skips does not count for a schedule
        return None
    single = rates.low == rates.high  # buckets within which it changes say nothing of a single step
    steps, values = rates.steps[single], rates.values[single]
    if not len(steps):
        return None
    chosen = np.unique(np.linspace(0, len(steps) - 1, min(LOOKED_AT, len(steps))).astype(np.int64))
    planned, recorded, at = plan.planned_rates(steps[chosen]), values[chosen], steps[chosen]
    apart = np.abs(recorded - planned) / np.maximum(np.abs(planned), 1e-300)
    apart[np.abs(recorded - planned) < 1e-15] = 0
    if float(apart.max()) <= limit("R22.apart"):
        return None
    place = int(np.argmax(apart > limit("R22.apart")))
    return Finding(
        level="fault",
        verdict="schedule_mismatch",
        text=f"At step {at[place]} the rate was {recorded[place]:.4g}, but {planned[place]:.4g} was planned.",
        confidence=0.95,
        steps=(int(at[place]), record.step),
        evidence=[evidence("difference from the plan", float(apart[place]), ">", "R22.apart", series="lr")],
        remedy="Report this as a bug: recorded and planned rates should always agree.",
        expect=Expect("a replay shows the same", "a replay follows the plan"),
    )


def _mended(record: RunRecord, share: float) -> remedies.Patch:
    """Return the patch: the other schedule unit if it fits the run, else a cosine over the whole run."""
    if not record.plan.predictable:
        return remedies.replace_part("schedule", {"kind": "cosine"})
    other = "epoch" if record.plan.spec.schedule_unit == "step" else "step"
    patch = [remedies.replace("/schedule_unit", other)]
    spec = remedies.patched_spec(record.plan, patch)
    if spec is not None:
        steps = np.unique(np.linspace(1, spec.total_steps, min(LOOKED_AT, spec.total_steps)).astype(np.int64))
        planned = np.array([spec.rate(int(step)) for step in steps])
        if float((planned < limit("R22.tiny") * planned.max()).mean()) < share / 2:
            return patch
    return remedies.replace_part("schedule", {"kind": "cosine"})


def no_effect(record: RunRecord) -> Outcome:
    """R24: most parameters are frozen, a layer never changes, or a setting has no effect."""
    plan = record.plan
    layout = plan.spec.layout or ()
    groups = assign_groups(plan.spec) if layout else ()
    frozen = {name for group in groups if group.optimizer is None for name in group.names}
    trained = sum(each.count for each in layout if each.name not in frozen)
    share = 1 - trained / sum(each.count for each in layout) if layout else 0.0
    if still := _still(record):
        said = f"The layer {still} is never updated, although it is not frozen."
        return _effectless(record, said, "warning", 0.7, [], 1)
    if share > limit("R24.frozen"):
        rules = [number for number, rule in enumerate(plan.spec.groups) if rule.freeze]
        patch = [{"op": "remove", "path": f"/groups/{number}"} for number in reversed(rules)]
        came = share_learned(record)
        bounds: dict[Level, float] = {"fault": limit("any.learned_poorly"), "warning": limit("R29.most")}
        level: Level = next((name for name, bound in bounds.items() if came is not None and came < bound), "info")
        said = f"Most of the model is frozen: {share:.0%} of its parameters are not trained."
        return _effectless(record, said, level, 0.9, patch, len(frozen))
    odd = [each for each in plan.spec_warnings if each.code in WITHOUT_EFFECT and not each.pointer.startswith(PROBES)]
    if odd:
        return _effectless(
            record, f"A setting has no effect: {odd[0].pointer}: {odd[0].detail}", "info", 0.9, [], len(odd)
        )
    return NoFinding("every group has parameters, and everything that is not frozen is updated.")


def _still(record: RunRecord) -> str | None:
    """Return a layer that is trained but whose weights never changed."""
    if record.step < trend_window(record):
        return None
    trained = (
        {name.rpartition(".")[0] for g in assign_groups(record.plan.spec) if g.optimizer for name in g.names}
        if (record.plan.spec.layout is not None)
        else set()
    )
    ratios = record.layers("update_ratio")
    moving = any(median(curve) > 0 for curve in ratios.values())
    return next((path for path, c in ratios.items() if path in trained and moving and float(c.high.max()) == 0), None)


def _effectless(
    record: RunRecord, text: str, level: Level, confidence: float, patch: Sequence[Operation], count: int
) -> Finding:
    return Finding(
        level=level,
        verdict="setting_had_no_effect",
        text=text,
        confidence=confidence,
        steps=(1, max(1, record.step)),
        evidence=[observation("settings or parameters affected", count)],
        patch=patch,
        remedy="Unfreeze the layers that should train." if patch else "Remove the setting, or what overrides it.",
        expect=Expect("without it the curve changes", "the curve stays the same, bit for bit"),
        strong=level != "info",
        rank=-1 if patch else 0,
    )
