"""R33: a run that ended while its loss still fell."""

import math

from service.diagnosis import remedies
from service.diagnosis.finding import Expect, Finding, NoFinding, Outcome, evidence, too_early
from service.diagnosis.progress import share_learned
from service.diagnosis.run_record import RunRecord
from service.diagnosis.thresholds import limit
from service.diagnosis.trained_beside import compared
from service.diagnosis.trend import Mean, mean

FACTOR = 3  # times as many updates, to try


def still_falling(record: RunRecord) -> Outcome:
    """R33: the loss fell by a seventh of what is left, or more, from the second to the last quarter of the run.

    It matters where little is learned, or where the last quarter alone took a fourth of what was left.

    Too few updates and a rate that is too low look the same from the loss; both are told, with what tells them apart.
    """
    loss, came, quarter, floor = record.get("loss"), share_learned(record), record.step // 4, record.plan.floor
    if loss is None or record.step < limit("any.window_steps"):
        return too_early(record, int(limit("any.window_steps")))
    if not record.ended or came is None or floor is None or record.state != "succeeded":
        return NoFinding("the run has not ended by itself, or there is no scale for what is left to learn.")
    if came > limit("R33.open") or record.plan.spec.dataset.facts.task in ("language", "objective"):
        return NoFinding(f"{came:.0%} of the way is done.")
    early, before, late = (mean(loss.between(at * quarter + 1, end)) for at, end in _quarters(record.step))
    if early is None or before is None or late is None:
        return NoFinding("the loss has too few points.")
    fallen, left = early.value - late.value, max(early.value - floor, 1e-30)
    epochs = record.step * record.plan.spec.rows_per_step / max(record.plan.spec.dataset.counts[0], 1)
    last = (before.value - late.value) / max(before.value - floor, 1e-30)
    steep = last > limit("R33.last") and _surely(before, late, 0.5)
    if came > limit("R29.most") and not steep:
        return NoFinding(f"{came:.0%} of the way is done, and the loss hardly falls any more.")
    falls = fallen > limit("R33.fallen") * left and _surely(early, late)
    if not falls and epochs >= limit("R33.epochs"):
        return NoFinding("the loss had stopped falling when the run ended.")
    length = "steps" if record.plan.document["steps"] is not None else "epochs"
    return Finding(
        level="warning" if falls and _matters(record, came, steep) else "info",
        verdict="too_few_updates",
        text=(
            f"The run ended while its loss still fell: from {early.value:.4g} to {late.value:.4g} in its second half"
            if falls
            else f"The run ended before it had seen every row once ({epochs:.0%} of them)"
        )
        + f", with {max(came, 0.0):.0%} of the way done. There were too few updates, or each was too small.",
        confidence=0.75,
        steps=(early.first, record.step),
        evidence=[
            evidence("fall of what was left", fallen / left, ">", "R33.fallen", series="loss"),
            evidence("fall of what was left, in the last quarter", last, ">", "R33.last", series="loss"),
            evidence("share of the way learned", came, "<", "R33.open", series="loss"),
            evidence("epochs", epochs, "<" if epochs < limit("R33.epochs") else ">", "R33.epochs"),
        ],
        patch=[remedies.replace(f"/{length}", FACTOR * record.plan.document[length])],
        remedy=f"Train {FACTOR} times as long. Cheaper to try first: {FACTOR} times the learning rate at the same "
        "length; if that reaches as much, the rate was too low.",
        expect=Expect("the loss ends clearly lower", "it ends where it did"),
        rank=2,
    )


def _matters(record: RunRecord, came: float, steep: bool) -> bool:
    """Whether more updates would give much: little is done or it falls fast, and nothing beside the run refutes it.

    Where a third to half of the way is done, only where a training beside the run took away much of what it left.
    """
    tried = compared(record)
    if tried is None:
        return came < limit("R33.little") or steep
    if came >= limit("any.learned_poorly") and not steep:
        return False
    left = limit("R33.more") * (tried.scale - tried.gain("run"))
    better = (who for who in ("same", "other") if tried.significant(who, "run"))
    return any(tried.gain(who) - tried.gain("run") > left for who in better)


def _quarters(steps: int) -> tuple[tuple[int, int], ...]:
    """Return the second, third and last quarter: the quarters before it, and its last step."""
    quarter = steps // 4
    return (1, 2 * quarter), (2, 3 * quarter), (3, steps)


def _surely(early: Mean, late: Mean, share: float = 1.0) -> bool:
    """Whether the loss fell by more than the noise of its batches; `share` of that for windows that it crosses."""
    return early.value - late.value > share * limit("R3.steady") * math.hypot(early.error, late.error)
