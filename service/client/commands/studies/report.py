"""Studies and trials in the terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from service.client.commands.run_table import show_warnings
from service.client.formatting import duration, number
from service.client.table import Cell

if TYPE_CHECKING:
    from service.client.commands.context import Context
    from service.schemas.studies.analysis import StudyAnalysis
    from service.schemas.studies.answers import StudyPreview, StudyView, TrialView

COLOURS = {"finished": "green", "pruned": "dim", "failed": "red", "running": "cyan", "waiting": "magenta"}
SHOWN = 10  # trials in the final table


def short(point: Mapping[str, Any]) -> str:
    """Return `lr=0.01, batch_size=32`; a field by its last name where no other has the same."""
    ends = [pointer.rpartition("/")[2] for pointer in point]
    parts = []
    for pointer, value in point.items():
        last = pointer.rpartition("/")[2]
        name = last if ends.count(last) == 1 else pointer.strip("/").replace("/", ".")
        parts.append(f"{name}={_value(value)}")
    return ", ".join(parts)


def _value(value: Any) -> str:
    if isinstance(value, dict) and isinstance(value.get("kind"), str):
        return str(value["kind"])
    if isinstance(value, float):
        return number(value)
    return value if isinstance(value, str) else json.dumps(value)


def show_posted(context: Context, study: StudyView) -> None:
    """Print what was posted."""
    limits = _limits(study)
    context.say(f"{study.id}  {study.name}  ({study.direction}imise {study.series}; at most {limits})")
    show_warnings(context, study.warnings)
    context.say(f"follow it: saddle sweep {study.id}", "dim")


def _limits(study: StudyView) -> str:
    budget = study.budget
    named = (("trials", budget.trials), ("steps", budget.steps), ("device seconds", budget.device_seconds))
    return ", ".join(f"{use.limit:g} {name}" for name, use in named if use.limit is not None)


def show_preview(context: Context, preview: StudyPreview) -> None:
    """Print what a study would do."""
    if context.json:
        context.emit(preview)
        return
    told = "valid, nothing stored: " + (f"{preview.trials} trials" if preview.trials else "trials while seconds last")
    context.say(f"{told} of {preview.steps_per_trial} steps each")
    if preview.rung_steps:
        context.say(f"each run waits for a decision at the steps {', '.join(map(str, preview.rung_steps))}")
    if preview.duration is not None:
        low, high = duration(preview.duration.low), duration(preview.duration.high)
        context.say(
            f"about {duration(preview.duration.seconds)} of a device ({low} to {high}) if none is stopped early"
        )
    context.say("the first points:")
    for point in preview.points:
        context.say(f"  {short(point)}")
    show_warnings(context, preview.warnings)


def show_trial(context: Context, study: StudyView, trial: TrialView) -> None:
    """Print a line for a trial that has ended."""
    if context.json:
        context.emit_line(trial)
        return
    best = study.best is not None and study.best.number == trial.number
    text = f"#{trial.number:<4}{trial.state:9}{_result(trial):>10}  {short(trial.point)}"
    why = f"  ({trial.why})" if trial.why and trial.state != "finished" else "  best so far" if best else ""
    context.say(text + why, COLOURS[trial.state] if trial.state != "finished" or best else None)


def _result(trial: TrialView) -> str:
    """Return the value at the end, or at the last rung of a trial that came no further."""
    if trial.state == "finished":
        return "diverged" if trial.value is None else number(trial.value)
    return number(trial.rungs[-1]) if trial.rungs and trial.rungs[-1] is not None else "-"


def show_state(context: Context, study: StudyView) -> None:
    """Print how far a study is, on a line."""
    counts = ", ".join(f"{count} {state}" for state, count in sorted(study.trials.items())) or "no trial yet"
    why = f": {study.why}" if study.why else ""
    context.say(f"{study.id}  {study.name}  {study.state}{why}  ({counts})")


def _show_duel(context: Context, study: StudyView) -> None:
    """Print what each scientific value came to, and ranges whose border holds the best."""
    analysis = context.client.study_analysis(study.id)
    found = analysis.contestants
    if len(found) > 1:
        context.say()
        rows = [
            (each.label, each.trials, number(each.best_value), number(each.median), number(each.sensitivity))
            for each in found
        ]
        context.table(("", "trials", "best", "median", "untuned loses"), rows, right=("trials", "best", "median"))
        _show_targets(context, analysis)
    for each in found:
        for border in each.borders:
            whose = f"{each.label}: " if len(found) > 1 else ""
            place = f"{border.pointer} is best at its {border.end} end, {number(border.bound)}"
            context.say(f"{whose}{place}: extend it to {border.patch['value']:g}", "yellow")


def _show_targets(context: Context, analysis: StudyAnalysis) -> None:
    """Print after how many steps a trial of each scientific value reaches each target, the median of those that do."""
    labels = [each.label for each in analysis.contestants]
    rows = [
        (number(target), *("-" if each is None else f"{each:,}" for each in steps))
        for target, steps in zip(analysis.targets, analysis.steps_to_target, strict=True)
    ]
    if rows:
        context.say()
        context.table(("steps to", *labels), rows, right=("steps to", *labels))


def show_result(context: Context, study: StudyView) -> None:
    """Print the best trials, what the search cost and saved, the winner's patch, and the confirmation."""
    if context.json:
        context.emit_line(study)
        return
    trials = [trial for trial in context.client.trials(study.id) if trial.value is not None]
    trials.sort(key=lambda trial: (trial.value or 0.0) * (1 if study.direction == "min" else -1))
    context.say()
    rows = [
        (f"#{each.number}", number(each.value), short(each.point), each.steps, Cell(each.experiment_id or "-", "dim"))
        for each in trials[:SHOWN]
    ]
    context.table(("trial", study.series, "point", "steps", "experiment"), rows, right=(study.series, "steps"))
    _show_duel(context, study)
    show_state(context, study)
    budget = study.budget
    saved = f", {budget.saved_steps} saved by stopping early" if budget.saved_steps else ""
    context.say(f"{budget.steps.used} steps{saved}; {duration(budget.device_seconds.used)} of a device")
    if study.best is None:
        return
    interval = study.best.interval
    told = f" (95 % over the seeds: {number(interval[0])} to {number(interval[1])})" if interval else ""
    context.say(f"best: #{study.best.number}, {study.series} {number(study.best.value)}{told}", "green")
    context.say(f"its patch: {json.dumps(study.best.patch)}")
    if study.confirmation is not None:
        context.say(study.confirmation.report)
        found, comparison_id = study.confirmation.confirmation, study.confirmation.comparison_id
        more = found.sequential and found.sequential.more_seeds
        if more and found.verdict != "better":
            seeds = f"{more} more seed{'' if more == 1 else 's'}"
            context.say(f"{seeds} would tell: saddle confirm {comparison_id} --more {more} --watch", "dim")
    elif study.over:
        context.say(f"it was chosen for this value; judge it by fresh seeds: saddle sweep {study.id} --confirm", "dim")
