"""Time to a target on each workload, with the scores of AlgoPerf."""

import math
from collections.abc import Sequence
from statistics import median

from service.analysis.time_to_target import first_reach, part_of_range, performance, study_time
from service.comparison.data import ComparisonData
from service.comparison.selection import Trial
from service.lifecycle import TERMINAL
from service.nonfinite import dumps
from service.schemas.rankings import TargetView, WorkloadView
from service.spec.measures import better_direction, default_figure

Cell = list[Trial]  # a group's trials on a workload


def target_view(data: ComparisonData) -> TargetView | None:
    """Return the times to the target; None where the question has no target."""
    question, groups = data.question, data.groups
    if question.target is None:
        return None
    series = question.target.series or data.ranked
    known = _workloads(data)
    shared = {label: cells for label, cells in known.items() if all(any(t.runs for t in cell) for cell in cells)}
    goals = [_goal(data, cells, series) for cells in shared.values()]
    times = [
        [_time(data, cells[row], series, goal) for cells, goal in zip(shared.values(), goals, strict=True)]
        for row in range(len(groups))
    ]
    labels = [group.label for group in groups]
    reference = labels.index(question.baseline) if question.baseline in labels else 0
    found = performance(times, reference) if shared else None
    return TargetView(
        series=series,
        direction=better_direction(series),
        x=question.x,
        workloads=[WorkloadView(label=label, target=goal) for label, goal in zip(shared, goals, strict=True)],
        left_out=[label for label in known if label not in shared],
        times=times,
        open=[
            [_open(data, cells[row], series, goal) for cells, goal in zip(shared.values(), goals, strict=True)]
            for row in range(len(groups))
        ],
        ratios=found.ratios if found else [[] for _ in groups],
        tau=found.tau if found else [],
        profiles=found.profiles if found else [[] for _ in groups],
        scores=found.scores if found else [0.0 for _ in groups],
        speedups=found.speedups if found else [None for _ in groups],
        reached=found.reached if found else [0 for _ in groups],
    )


def _workloads(data: ComparisonData) -> dict[str, list[Cell]]:
    """Return each group's trials on each workload, by the workload's label."""
    paths = data.question.group
    fields = [paths] if isinstance(paths, str) else list(paths)
    parts = ["dataset", "loss"]
    if not {"experiment", "run"} & set(fields) and not any(path.split(".")[0] == "model" for path in fields):
        parts.append("model")
    known: dict[str, list[Cell]] = {}
    kinds: dict[str, str] = {}
    for row, group in enumerate(data.groups):
        for trial in group.trials:
            spec = trial.experiment.spec
            key = dumps([spec.get(part) for part in parts])
            known.setdefault(key, [[] for _ in data.groups])[row].append(trial)
            kinds[key] = ", ".join(str((spec.get(part) or {}).get("kind")) for part in parts if part != "loss")
    names = list(kinds.values())
    labels = [name if names.count(name) == 1 else f"{name} ({i})" for i, name in enumerate(names, 1)]
    return dict(zip(labels, known.values(), strict=True))


def _goal(data: ComparisonData, cells: Sequence[Cell], series: str) -> float | None:
    asked = data.question.target
    assert asked is not None
    if asked.share is None:
        return asked.value
    trials = [trial for cell in cells for trial in cell]
    found = [data.curves[run.id].get(series) for trial in trials for run in trial.runs]
    first = [float(curve.values[0]) for curve in found if curve is not None]
    typical = [_typical(data, trial, series) for trial in trials]
    return part_of_range(first, typical, asked.share, better_direction(series))


def _typical(data: ComparisonData, trial: Trial, series: str) -> float:
    """Return the median over seeds of a run's value; a seed that diverged is worse than any other."""
    figure = data.figure if series == data.ranked else default_figure(series)
    values = [value for run in trial.runs if (value := data.value(run, series, figure)) is not None]
    worst = math.inf if better_direction(series) == "min" else -math.inf
    return median(value if math.isfinite(value) else worst for value in values) if values else math.nan


def _reached(data: ComparisonData, cell: Cell, series: str, goal: float | None) -> list[tuple[int, float, bool]]:
    """Return (seed, time, has ended) of every run."""
    found = []
    for trial in cell:
        for run in trial.runs:
            curve = data.curve(run, trial, series)
            time = (
                math.inf
                if curve is None or goal is None
                else first_reach(curve.x, curve.y, goal, better_direction(series))
            )
            found.append((run.seed, time, run.state in TERMINAL))
    return found


def _time(data: ComparisonData, cell: Cell, series: str, goal: float | None) -> float:
    """Return the median over seeds of the least time over trials: one seed of all trials is one study."""
    studies: dict[int, list[float]] = {}
    for seed, time, _ in _reached(data, cell, series, goal):
        studies.setdefault(seed, []).append(time)
    return study_time(list(studies.values()))


def _open(data: ComparisonData, cell: Cell, series: str, goal: float | None) -> int:
    return sum(math.isinf(time) and not ended for _, time, ended in _reached(data, cell, series, goal))
