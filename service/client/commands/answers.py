"""A comparison in the terminal: the ranking with its intervals, the curves, what differs, what to beware of."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from service.client.chart import Line, chart, interval
from service.client.commands.context import Context
from service.client.following import floats
from service.client.table import Cell, Row, number
from service.client.views import Comparison

BAR, WIDEST = 24, 78
VERDICTS = {"better": "green", "worse": "red", "unconfirmed": "yellow", "indistinguishable": "yellow"}
SEVERITIES = {"fatal": "red", "unfair": "yellow", "noted": "dim"}


def show(context: Context, found: Comparison, with_chart: bool) -> None:
    """All of it, the most wanted first."""
    ranking(context, found)
    contrasts(context, found)
    confirmation(context, found)
    targets(context, found)
    if with_chart:
        curves(context, found)
    differences(context, found)
    for each in (found.raw.get("comparability") or {}).get("mismatches", ()):
        context.say(
            f"{each.get('severity')}  {each.get('aspect')}: {each.get('detail')}", SEVERITIES.get(each.get("severity"))
        )
    for warning in found.warnings:
        context.say(f"note  {warning}", "yellow")
    context.say(f"the whole answer, and again later: saddle compare {found.id} --json", "dim")


def ranking(context: Context, found: Comparison) -> None:
    """Groups from best to worst by the first series."""
    items, series = found.ranking.get("items", []), found.ranking.get("series", "")
    if not items:
        return
    best = [each["best"] for each in items]
    scale = _scale(best)
    rows: list[Row] = [
        [
            each.get("rank"),
            Cell(str(each["label"]), "bold"),
            _runs(each["best"]) + (f", best of {each['trials']} trials" if each.get("trials", 1) > 1 else ""),
            number(figure(each["best"], "mean")),
            number(figure(each["best"], "sd"), 2),
            _between(each["best"]),
            interval(_known(each["best"]), scale, BAR, context.terminal),
        ]
        for each in items
    ]
    way = "lower" if found.ranking.get("direction") == "min" else "higher"
    context.say(f"{found.ranking.get('figure', 'best')} {series} of each run{_stretch(found)}; {way} is better")
    head = ["", "experiment", "runs", "mean", "sd", "95 % interval", f"{number(scale[0], 3)} .. {number(scale[1], 3)}"]
    context.table(head, rows, ["", "mean", "sd"], head[5:])
    verdict = str(found.ranking.get("verdict", ""))
    context.say(f"{verdict}: {found.ranking.get('note', '')}", VERDICTS.get(verdict))


def _stretch(found: Comparison) -> str:
    first, last = found.ranking.get("stretch") or (None, None)
    return "" if first is None else f" (the mean over steps {first} to {last})"


def _runs(best: Mapping[str, Any]) -> str:
    diverged = best.get("diverged") or 0
    return f"{best.get('n')}" + (f" + {diverged} diverged" if diverged else "")


def figure(statistics: Mapping[str, Any], name: str) -> float | None:
    """One number of the statistics."""
    value = statistics.get(name)
    return None if value is None else float(value)


def _known(statistics: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    return figure(statistics, "ci_low"), figure(statistics, "mean"), figure(statistics, "ci_high")


def _between(statistics: Mapping[str, Any]) -> str:
    return _within(statistics, "ci_low", "ci_high")


def _within(statistics: Mapping[str, Any], lower: str, upper: str) -> str:
    low, high = figure(statistics, lower), figure(statistics, upper)
    return "-" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def _scale(best: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """What all intervals lie within."""
    found = [figure(each, name) for each in best for name in ("ci_low", "mean", "ci_high")]
    known = np.array([each for each in found if each is not None and np.isfinite(each)])
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)


def contrasts(context: Context, found: Comparison) -> None:
    """Every group against the baseline, paired by seed: how much, how sure, and how many seeds would tell."""
    held = [(each["label"], each["contrast"]) for each in found.ranking.get("items", []) if each.get("contrast")]
    if not held:
        return
    rows: list[Row] = [
        [
            Cell(str(label), "bold"),
            Cell(
                str(each["verdict"]).replace("_", " ") + "?" * bool(each.get("provisional")),
                VERDICTS.get(each["verdict"]),
            ),
            number(figure(each, "difference"), 3),
            _within(each, "bootstrap_low", "bootstrap_high"),
            number(figure(each, "p_adjusted"), 2),
            f"{each.get('seeds')}",
            "-" if each.get("more_seeds") is None else f"{each['more_seeds']} more",
        ]
        for label, each in held
    ]
    context.say()
    context.say(f"against {held[0][1].get('against')}, paired by seed; p is corrected for the choice and the tests")
    head = ["experiment", "verdict", "difference", "95 % bootstrap", "p", "seeds", "would tell"]
    context.table(head, rows, ["difference", "p", "seeds"], ["95 % bootstrap", "would tell"])
    if any(each.get("provisional") for _, each in held):
        context.say("?: some of the runs have not ended, so the order may still turn", "dim")


def confirmation(context: Context, found: Comparison) -> None:
    """What fresh seeds say of the contestants, or how to have them."""
    told = found.confirmation
    if told is None:
        held = [each["contrast"] for each in found.ranking.get("items", []) if each.get("contrast")]
        if any(each.get("choices", 1) > 1 for each in held):
            context.say(f"to judge the chosen trials by fresh seeds alone: saddle confirm {found.id} --watch", "dim")
        return
    word = {True: "confirmed", False: "not confirmed", None: str(told["state"])}[told.get("confirmed")]
    bests = {each["label"]: each["best"] for each in told["ranking"].get("items", [])}
    rows: list[Row] = [
        [
            Cell(str(each["label"]), "bold"),
            str(each["trial_id"]),
            _fresh(each),
            number(figure(bests[each["label"]], "mean")),
            _between(bests[each["label"]]),
        ]
        for each in told["contestants"]
    ]
    seeds = _seeds(told["seeds"])
    context.say()
    context.say(f"{word}: {told['note']}", {"confirmed": "green", "not confirmed": "red"}.get(word))
    context.table([f"fresh seeds {seeds}", "chosen trial", "runs", "mean", "95 % interval"], rows, ["mean"])


def _seeds(seeds: Sequence[int]) -> str:
    """As `3-7` where they follow each other."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]}-{seeds[-1]}"
    return ", ".join(map(str, seeds))


def _fresh(contestant: Mapping[str, Any]) -> str:
    """How many runs count, of how many."""
    said = f"{contestant['ended']} of {len(contestant['runs'])}"
    return said + "".join(
        f", {contestant[k]} {w}" for k, w in (("diverged", "diverged"), ("left_out", "left out")) if contestant[k]
    )


def targets(context: Context, found: Comparison) -> None:
    """How long each group took to get there."""
    asked = found.raw.get("target")
    if not asked:
        return
    names = [f"{each['label']} ({number(figure(each, 'target'))})" for each in asked["workloads"]]
    rows: list[Row] = [
        [
            Cell(str(group["label"]), "bold"),
            *map(_time, map(float, asked["times"][i]), asked["open"][i]),
            number(asked["speedups"][i], 3),
            number(asked["scores"][i], 3),
        ]
        for i, group in enumerate(found.groups)
    ]
    first = found.ranking.get("baseline") or found.groups[0]["label"]
    context.say()
    context.say(
        f"{asked['x']} until {asked['series']} reaches the target, median over seeds; "
        f"speed-up over {first}; AlgoPerf score"
    )
    head = ["experiment", *names, "speed-up", "score"]
    context.table(head, rows, head[1:])
    for left in asked.get("left_out", ()):
        context.say(f"left out: {left}, which not every group was run on", "yellow")


def _time(time: float, still_open: int) -> str:
    """A run that has not ended may reach the target later."""
    return ("not yet" if still_open else "never") if np.isinf(time) else f"{time:.6g}"


def curves(context: Context, found: Comparison) -> None:
    """The mean curve of every group, of the first series that was asked for."""
    series = found.ranking.get("series", "")
    lines = []
    for group in found.groups:
        curve = group["series"].get(series, {}).get("curve") or {"x": [], "mean": []}
        lines.append(Line(group["label"], floats(curve["x"]), floats(curve["mean"])))
    drawn = chart(lines, context.terminal, min(context.terminal.columns - 1, WIDEST), height=10)
    if drawn:
        context.say()
        context.say(f"{series}, mean over the runs, by {found.question.get('x', 'step')}")
        for line in drawn:
            context.terminal.say(line)


def differences(context: Context, found: Comparison) -> None:
    """What is not the same in every group's spec."""
    labels = [str(label) for group in found.groups for label in group["trial_labels"]]
    rows: list[Row] = [
        [pointer, *("-" if i in each["missing"] else json.dumps(value) for i, value in enumerate(each["values"]))]
        for pointer, each in found.difference.items()
        if len(each["values"]) == len(labels)
    ]
    if rows:
        context.say()
        context.table(["what differs", *labels], rows)
