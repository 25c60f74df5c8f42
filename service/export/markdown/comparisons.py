"""Comparisons as markdown: the verdict first, then ranking, contrasts, confirmation, what differs, what is unfair."""

import json
import math
from collections.abc import Iterator

from service.markdown import document, interval, number, plain, quote_names, quoted, table
from service.schemas.comparisons import ComparisonView
from service.schemas.confirmations import ConfirmationView
from service.schemas.rankings import Ranking

MAX_GROUPS, MAX_FIELDS, MAX_VALUE = 20, 15, 40  # rows, rows, characters


def comparison_markdown(found: ComparisonView) -> str:
    """Return a comparison."""
    labels = [group.label for group in found.groups]
    sections = [
        _head(found, labels),
        _ranking(found.ranking),
        _contrasts(found.ranking, labels),
        _confirmation(found.confirmation, labels),
        _fairness(found, labels),
        _targets(found),
        _differences(found),
    ]
    return document(sections, f"GET /v1/comparisons/{found.id}")


def _head(found: ComparisonView, labels: list[str]) -> Iterator[str]:
    ranking = found.ranking
    better = "lower" if ranking.direction == "min" else "higher"
    yield f"# Comparison {found.id}"
    yield ""
    yield f"**{ranking.verdict.replace('_', ' ')}** (the first against the second): {quote_names(ranking.note, labels)}"
    yield ""
    stretch = " (mean over steps {} to {})".format(*ranking.stretch) if ranking.stretch else ""
    yield f"Ranked by {ranking.figure} {plain(ranking.series)} of each run{stretch}; {better} is better."


def _ranking(ranking: Ranking) -> Iterator[str]:
    rows = [
        [
            each.rank,
            quoted(each.label),
            each.experiment_id,
            each.trials,
            f"{each.best.n}" + (f" + {each.best.diverged} diverged" if each.best.diverged else ""),
            number(each.best.mean),
            number(each.best.sd, 2),
            interval(each.best.ci_low, each.best.ci_high),
        ]
        for each in ranking.items
    ]
    yield "## Ranking"
    yield ""
    head = ["", "group", "experiment", "trials", "runs", "mean", "sd", "95 % interval"]
    yield from table(head, rows, MAX_GROUPS)


def _contrasts(ranking: Ranking, labels: list[str]) -> Iterator[str]:
    held = [(each.label, each.contrast) for each in ranking.items if each.contrast]
    if not held:
        return
    yield f"## Against {quoted(held[0][1].against)}, paired by seed"
    yield ""
    rows = [
        [
            quoted(label),
            each.verdict.replace("_", " ") + (" (provisional)" if each.provisional else ""),
            number(each.difference, 3),
            interval(each.bootstrap_low, each.bootstrap_high),
            number(each.p_adjusted, 2),
            each.seeds,
            "-" if each.more_seeds is None else each.more_seeds,
        ]
        for label, each in held
    ]
    head = ["group", "verdict", "difference", "95 % bootstrap", "corrected p", "seeds", "more seeds that would tell"]
    yield from table(head, rows, MAX_GROUPS)
    for each in ranking.items:
        if each.reference is not None:
            yield f"- {quote_names(each.reference.note, labels)} (one-sided p {number(each.reference.p_adjusted, 2)})"


def _confirmation(found: ConfirmationView | None, labels: list[str]) -> Iterator[str]:
    if found is None:
        return
    word = {True: "confirmed", False: "not confirmed", None: found.state}[found.confirmed]
    yield "## Confirmation by fresh seeds"
    yield ""
    yield f"**{word}**: {quote_names(found.note, labels)}"
    yield ""
    bests = {each.label: each.best for each in found.ranking.items}
    rows = [
        [
            quoted(each.label),
            each.experiment_id,
            f"{each.ended} of {len(each.runs)}",
            number(bests[each.label].mean) if each.label in bests else "-",
        ]
        for each in found.contestants
    ]
    yield from table(["group", "experiment", "runs that count", "mean"], rows, MAX_GROUPS)
    if (looked := found.sequential) is not None:
        yield ""
        yield (
            f"Looked at any time: {quote_names(looked.note, labels)} Difference of {quoted(looked.first)} less "
            f"{quoted(looked.second)}: {number(looked.difference, 3)}, 99 % {interval(looked.low, looked.high)}, "
            f"p {number(looked.p, 2)}."
        )


def _fairness(found: ComparisonView, labels: list[str]) -> Iterator[str]:
    mismatches = found.comparability.mismatches
    if not mismatches and not found.warnings:
        return
    yield "## Is it fair?"
    yield ""
    yield from (f"- {each.severity}: {plain(each.aspect)}: {quote_names(each.detail, labels)}" for each in mismatches)
    yield from (f"- {quote_names(each, labels)}" for each in found.warnings)


def _targets(found: ComparisonView) -> Iterator[str]:
    target = found.target
    if target is None:
        return
    yield f"## {plain(target.x)} until {plain(target.series)} reaches the target, median over seeds"
    yield ""
    names = [f"{quoted(each.label)} ({number(each.target)})" for each in target.workloads]
    rows = [
        [
            quoted(group.label),
            *(("-" if math.isinf(time) else number(time)) for time in target.times[at]),
            number(target.speedups[at], 3),
            number(target.scores[at], 3),
        ]
        for at, group in enumerate(found.groups)
    ]
    yield from table(["group", *names, "speed-up", "score"], rows, MAX_GROUPS)


def _differences(found: ComparisonView) -> Iterator[str]:
    labels = [label for group in found.groups for label in group.trial_labels]
    if not found.difference or len(labels) > MAX_GROUPS:
        return
    rows = [
        [plain(pointer), *("-" if at in each.missing else _value(value) for at, value in enumerate(each.values))]
        for pointer, each in found.difference.items()
    ]
    yield "## What differs"
    yield ""
    yield from table(["field", *map(quoted, labels)], rows, MAX_FIELDS)


def _value(value: object) -> str:
    text = json.dumps(value)
    return plain(text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…")
