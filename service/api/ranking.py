"""Who is better, how sure that is, and what makes a comparison unfair."""

import math
from collections.abc import Sequence

from service.api.comparing import Member, better
from service.api.comparison_views import Group, Rank, Ranking, Statistics, Verdict
from service.lifecycle import TERMINAL


def rank(groups: Sequence[Group], series: str) -> Ranking:
    """Groups by the mean of their best values of `series`; those without any come last."""
    direction = better(series)
    sign = 1 if direction == "min" else -1

    def key(group: Group) -> float:
        mean = group.series[series].best.mean
        return math.inf if mean is None else sign * mean

    ordered = sorted(groups, key=key)
    items = [Rank(rank=i, label=g.label, best=g.series[series].best) for i, g in enumerate(ordered, 1)]
    verdict, note = _verdict(items)
    return Ranking(series=series, direction=direction, verdict=verdict, note=note, items=items)


def _verdict(items: Sequence[Rank]) -> tuple[Verdict, str]:
    """Whether the first can be told from the second."""
    if len(items) < 2:
        return "unknown", "There is one group: nothing to compare it with."
    first, second = items[0], items[1]
    one, other = _interval(first.best), _interval(second.best)
    if one is None or other is None:
        return "unknown", f"{first.label} and {second.label} need at least two finite seeds each to be told apart."
    if one[1] < other[0] or other[1] < one[0]:
        return "distinguishable", f"The 95 % intervals of {first.label} and {second.label} do not overlap."
    return (
        "indistinguishable",
        f"The 95 % intervals of {first.label} and {second.label} overlap: more seeds would tell.",
    )


def _interval(best: Statistics) -> tuple[float, float] | None:
    return None if best.ci_low is None or best.ci_high is None else (best.ci_low, best.ci_high)


def warnings(found: Sequence[Member], groups: Sequence[Group], series: Sequence[str]) -> list[str]:
    """What a reader should know before believing the ranking."""
    told = []
    if len({str(member.spec.get("dataset")) for member in found}) > 1:
        told.append("The groups do not train on the same data and split: see difference.")
    if len({tuple(sorted(run.seed for run in member.runs)) for member in found}) > 1:
        told.append("The groups do not have the same seeds.")
    if len({run.total_steps for member in found for run in member.runs}) > 1:
        told.append("The runs are not equally long.")
    unfinished = sum(run.state not in TERMINAL for member in found for run in member.runs)
    if unfinished:
        told.append(f"{unfinished} of the runs have not ended: figures will change.")
    for name in series:
        without = [
            group.label for group in groups if not group.series[name].last.n and not group.series[name].last.diverged
        ]
        if without:
            told.append(f"Without any {name}: {', '.join(without[:10])}.")
    return told
