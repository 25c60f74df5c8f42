"""A comparison in the terminal: the ranking with its intervals, the curves, what differs, and warnings."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from service.client.commands.context import Context
from service.client.formatting import number
from service.client.table import Cell, Row, interval_bar

if TYPE_CHECKING:
    from service.schemas.comparisons import ComparisonView
    from service.schemas.confirmations import ConfirmationView, ContestantView
    from service.schemas.statistics import Statistics

BAR_WIDTH, CHART_WIDTH = 24, 78  # columns
VERDICTS = {"better": "green", "worse": "red", "unconfirmed": "yellow", "indistinguishable": "yellow"}
SEVERITIES = {"fatal": "red", "unfair": "yellow", "noted": "dim"}


def show(context: Context, found: ComparisonView, with_chart: bool) -> None:
    """Print the whole comparison, the most important part first."""
    show_ranking(context, found)
    show_contrasts(context, found)
    show_confirmation(context, found)
    show_targets(context, found)
    if with_chart:
        show_curves(context, found)
    show_differences(context, found)
    for each in found.comparability.mismatches if found.comparability else ():
        context.say(f"{each.severity}  {each.aspect}: {each.detail}", SEVERITIES.get(each.severity))
    for warning in found.warnings:
        context.say(f"note  {warning}", "yellow")
    context.say(f"the full answer, also later: saddle compare {found.id} --json", "dim")


def show_ranking(context: Context, found: ComparisonView) -> None:
    """Print the groups from best to worst by the first series."""
    ranking = found.ranking
    if not ranking or not ranking.items:
        return
    scale = _scale([each.best for each in ranking.items])
    rows: list[Row] = [
        [
            each.rank,
            Cell(str(each.label), "bold"),
            _count_runs(each.best) + (f", best of {each.trials} trials" if (each.trials or 1) > 1 else ""),
            number(each.best.mean),
            number(each.best.sd, 2),
            _interval(each.best.ci_low, each.best.ci_high),
            interval_bar((each.best.ci_low, each.best.mean, each.best.ci_high), scale, BAR_WIDTH, context.terminal),
        ]
        for each in ranking.items
    ]
    better = "lower" if ranking.direction == "min" else "higher"
    steps = " (the mean over steps {} to {})".format(*ranking.stretch) if ranking.stretch else ""
    context.say(f"{ranking.figure} {ranking.series} of each run{steps}; {better} is better")
    head = ["", "experiment", "runs", "mean", "sd", "95 % interval", f"{number(scale[0], 3)} .. {number(scale[1], 3)}"]
    context.table(head, rows, ["", "mean", "sd"], head[5:])
    context.say(f"{ranking.verdict}: {ranking.note}", VERDICTS.get(ranking.verdict))
    for each in ranking.items:
        if (held := each.reference) is not None:
            context.say(f"{held.note} (one-sided p {number(held.p_adjusted, 2)})", VERDICTS.get(held.verdict))


def _count_runs(best: Statistics) -> str:
    return f"{best.n}" + (f" + {best.diverged} diverged" if best.diverged else "")


def _interval(low: float | None, high: float | None) -> str:
    return "-" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def _scale(best: Sequence[Statistics]) -> tuple[float, float]:
    """Return the range that holds all intervals."""
    ends = [end for each in best for end in (each.ci_low, each.mean, each.ci_high)]
    known = [end for end in ends if end is not None and math.isfinite(end)]
    return (min(known), max(known)) if known else (0.0, 0.0)


def show_contrasts(context: Context, found: ComparisonView) -> None:
    """Print every group against the baseline, paired by seed: how much, how sure, and how many seeds would tell."""
    held = [(each.label, each.contrast) for each in found.ranking.items if each.contrast] if found.ranking else []
    if not held:
        return
    rows: list[Row] = [
        [
            Cell(str(label), "bold"),
            Cell(str(each.verdict).replace("_", " ") + "?" * bool(each.provisional), VERDICTS.get(each.verdict)),
            number(each.difference, 3),
            _interval(each.bootstrap_low, each.bootstrap_high),
            number(each.p_adjusted, 2),
            f"{each.seeds}",
            "-" if each.more_seeds is None else f"{each.more_seeds} more",
        ]
        for label, each in held
    ]
    context.say()
    context.say(f"against {held[0][1].against}, paired by seed; p is corrected for the choice and the tests")
    head = ["experiment", "verdict", "difference", "95 % bootstrap", "p", "seeds", "would tell"]
    context.table(head, rows, ["difference", "p", "seeds"], ["95 % bootstrap", "would tell"])
    if any(each.provisional for _, each in held):
        context.say("?: some runs have not ended, so the order may still change", "dim")


def show_confirmation(context: Context, found: ComparisonView) -> None:
    """Print what fresh seeds say of the contestants, or how to ask for them."""
    confirmation = found.confirmation
    if confirmation is None:
        held = [each.contrast for each in found.ranking.items if each.contrast] if found.ranking else []
        if any((each.choices or 1) > 1 for each in held):
            context.say(f"to judge the chosen trials by fresh seeds alone: saddle confirm {found.id} --watch", "dim")
        return
    words = {True: "confirmed", False: "not confirmed", None: str(confirmation.state)}
    word = words[confirmation.confirmed]
    bests = {each.label: each.best for each in confirmation.ranking.items}
    rows: list[Row] = [
        [
            Cell(str(each.label), "bold"),
            str(each.trial_id),
            _count_ended(each),
            number(bests[each.label].mean),
            _interval(bests[each.label].ci_low, bests[each.label].ci_high),
        ]
        for each in confirmation.contestants
    ]
    context.say()
    context.say(f"{word}: {confirmation.note}", {"confirmed": "green", "not confirmed": "red"}.get(word))
    head = [f"fresh seeds {_seed_range(confirmation.seeds)}", "chosen trial", "runs", "mean", "95 % interval"]
    context.table(head, rows, ["mean"])
    show_sequential(context, found.id, confirmation)


def show_sequential(context: Context, comparison_id: str, confirmation: ConfirmationView) -> None:
    """Print the test that may be looked at any time, and how to have the seeds that would tell."""
    looked = confirmation.sequential
    if looked is None:
        return
    bounds = _interval(looked.low, looked.high)
    context.say(f"at any time: {looked.note}", "green" if looked.decided else None)
    context.say(f"  difference {number(looked.difference, 3)}, 99 % {bounds}, p {number(looked.p, 2)}", "dim")
    if looked.more_seeds and confirmation.state == "done":
        context.say(f"to train these: saddle confirm {comparison_id} --more {looked.more_seeds} --watch", "dim")


def _seed_range(seeds: Sequence[int]) -> str:
    """Return consecutive seeds as `3-7`, others as a list."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]}-{seeds[-1]}"
    return ", ".join(map(str, seeds))


def _count_ended(contestant: ContestantView) -> str:
    """Return how many runs count, of how many."""
    lost = [
        f", {count} {word}"
        for count, word in ((contestant.diverged, "diverged"), (contestant.left_out, "left out"))
        if count
    ]
    return f"{contestant.ended} of {len(contestant.runs)}" + "".join(lost)


def show_targets(context: Context, found: ComparisonView) -> None:
    """Print how long each group took to reach the target."""
    target = found.target
    if not target:
        return
    names = [f"{each.label} ({number(each.target)})" for each in target.workloads]
    rows: list[Row] = [
        [
            Cell(str(group.label), "bold"),
            *map(_time, target.times[i], target.open[i]),
            number(target.speedups[i], 3),
            number(target.scores[i], 3),
        ]
        for i, group in enumerate(found.groups)
    ]
    first = found.ranking.baseline or found.groups[0].label
    context.say()
    context.say(
        f"{target.x} until {target.series} reaches the target, median over seeds; speed-up over {first}; AlgoPerf score"
    )
    head = ["experiment", *names, "speed-up", "score"]
    context.table(head, rows, head[1:])
    for left in target.left_out:
        context.say(f"left out: {left}, which not every group was run on", "yellow")


def _time(time: float, unfinished: int) -> str:
    """Return a time to target; a run that has not ended may still reach it."""
    return ("not yet" if unfinished else "never") if math.isinf(time) else f"{time:.6g}"


def show_curves(context: Context, found: ComparisonView) -> None:
    """Draw the mean curve of every group, of the ranked series."""
    from service.client.arrays import floats  # noqa: PLC0415  numpy takes 0.1 s
    from service.client.chart import Line, chart  # noqa: PLC0415

    series, lines = found.ranking.series, []
    for group in found.groups:
        curve = group.series[series].curve if series in group.series else None
        lines.append(Line(group.label, floats(curve.x if curve else []), floats(curve.mean if curve else [])))
    drawn = chart(lines, context.terminal, min(context.terminal.columns - 1, CHART_WIDTH), height=10)
    if drawn:
        context.say()
        context.say(f"{series}, mean over the runs, by {found.question.get('x', 'step')}")
        for line in drawn:
            context.terminal.say(line)


def show_differences(context: Context, found: ComparisonView) -> None:
    """Print what differs between the specs of the groups."""
    labels = [str(label) for group in found.groups for label in group.trial_labels]
    rows: list[Row] = [
        [pointer, *("-" if i in each.missing else json.dumps(value) for i, value in enumerate(each.values))]
        for pointer, each in found.difference.items()
        if len(each.values) == len(labels)
    ]
    if rows:
        context.say()
        context.table(["what differs", *labels], rows)
