"""Load what a comparison needs of its runs, and aggregate each group's curves and values."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.analysis import align, axes
from service.analysis.aggregate import aggregate_curves
from service.analysis.result import diverged, run_result
from service.analysis.significance import overlap_of
from service.analysis.smooth import smooth
from service.comparison.selection import RunGroup, Trial
from service.comparison.statistics import curve_band, statistics
from service.db.metrics import read
from service.db.metrics.read import Curve, SeriesSummary
from service.db.runs import run_timing
from service.db.runs.run_timing import RunTiming
from service.db.runs.runs import StoredRun
from service.db.session import Connection
from service.errors import Conflict
from service.experiments.run_axes import axis_values
from service.schemas.comparisons import GroupSeries, Question
from service.schemas.statistics import CurveBand
from service.spec.measures import RANKED_SERIES, RankedBy, better_direction, default_figure, default_series

EVALUATIONS_SERIES = "gradient_evaluations"  # recorded by optimizers that evaluate the loss several times a step
CLOCKS = ("wall_s", "device_s")
MARGIN = 50  # a window is read with this part of its width more on each side
LONG_SERIES_FACTOR = 32  # a series with at least this many points per drawn point is drawn from stored buckets


@dataclass(frozen=True)
class ComparisonData:
    """The summaries, timing and curves of all runs of a question."""

    question: Question
    series: tuple[str, ...]  # of the question; the first is ranked
    groups: list[RunGroup]
    summaries: Mapping[str, Mapping[str, SeriesSummary]]
    conditions: Mapping[str, RunTiming]
    curves: Mapping[str, Mapping[str, Curve]]  # every point
    drawn: Mapping[str, Mapping[str, Curve]]  # what bands are made of: of long curves each bucket's last value

    @property
    def ranked(self) -> str:
        """The series that groups are ranked by."""
        return self.series[0]

    @property
    def figure(self) -> RankedBy:
        """The value of a run that is ranked."""
        return self.question.figure or default_figure(self.ranked)

    def value(self, run: StoredRun, series: str, figure: RankedBy) -> float | None:
        """Return the best or last value of a run; NaN where it diverged, None where it has none."""
        found = run_result(run, self.summaries[run.id], series, figure)
        return math.nan if found.outcome == "diverged" else found.value

    def diverged(self, run: StoredRun) -> bool:
        """Return whether the run failed as diverged, or continued after a loss that was not finite."""
        return diverged(run, self.summaries[run.id])

    @property
    def stretch(self) -> tuple[int, int] | None:
        """The first and last step that `last` of the ranked series averages over; None where it is a single value."""
        runs = [run for group in self.groups for run in group.runs]
        values = [self.summaries[run.id][self.ranked] for run in runs if self._has_value(run)]
        ends = [(each.final_from, each.last_step) for each in values if each.final_from and each.last_step]
        return (min(first for first, _ in ends), max(last for _, last in ends)) if ends else None

    def _has_value(self, run: StoredRun) -> bool:
        return run_result(run, self.summaries[run.id], self.ranked, "last").outcome == "value"

    def curve(self, run: StoredRun, trial: Trial, series: str) -> align.Curve | None:
        """Return a series on the axis of the question."""
        found = self.curves[run.id].get(series)
        return self._on_axis(run, trial, found)

    def band(self, run: StoredRun, trial: Trial, series: str) -> align.Curve | None:
        """Return the series as it is drawn, on the axis of the question."""
        return self._on_axis(run, trial, self.drawn[run.id].get(series))

    def _on_axis(self, run: StoredRun, trial: Trial, found: Curve | None) -> align.Curve | None:
        if found is None:
            return None
        if self.question.x == EVALUATIONS_SERIES:
            counted = self.curves[run.id].get(EVALUATIONS_SERIES)
            x = axes.gradient_evaluations(found.steps, (counted.steps, counted.values) if counted else None)
        else:
            x = axis_values(self.question.x, found.steps, trial.experiment, self.conditions.get(run.id))
        return align.Curve(x, found.values)


def load_data(connection: Connection, question: Question, groups: list[RunGroup]) -> ComparisonData:
    """Load the data; raise `Conflict` for times on different hardware."""
    ids = [run.id for group in groups for run in group.runs]
    known = run_timing.read(connection, ids)
    if question.x in CLOCKS and len(kinds := {hardware(each) for each in known.values()} - {""}) > 1:
        raise Conflict(
            f"Times on different hardware cannot be compared ({'; '.join(sorted(kinds))}): "
            "ask for x step, epoch, samples or gradient_evaluations."
        )
    summaries = {run: {s.name: s for s in found} for run, found in read.summaries(connection, ids).items()}
    series = question.series or _measured(summaries)
    names = list(series) if question.points is not None else []
    drawn = _thinned(connection, question, series, summaries, _step_window(question, groups, summaries, known))
    if drawn is not None:
        names = []
    if question.target is not None:
        names.append(question.target.series or series[0])
    if names and question.x == "gradient_evaluations":
        names.append(EVALUATIONS_SERIES)
    exact = read.curves(connection, ids, names) if names else {run_id: {} for run_id in ids}
    ranked = {"series": series, "figure": question.figure or default_figure(series[0])}
    question = question.model_copy(update=ranked)  # so a confirmation ranks by the same series
    return ComparisonData(question, series, groups, summaries, known, exact, exact if drawn is None else drawn)


def _measured(summaries: Mapping[str, Mapping[str, SeriesSummary]]) -> tuple[str, ...]:
    """Return the series that are ranked by default and that a run has measured, the default one first."""
    names = {name for found in summaries.values() for name, each in found.items() if each.n}
    return tuple(name for name in RANKED_SERIES if name in names) or (default_series(names),)


def _thinned(
    connection: Connection,
    question: Question,
    series: Sequence[str],
    summaries: Mapping[str, Mapping[str, SeriesSummary]],
    window: tuple[int, int],
) -> Mapping[str, Mapping[str, Curve]] | None:
    """Read long curves from stored buckets, so the time does not grow with the run; None where every point is needed.

    A smoothed value depends on every point before it, and so does the axis of counted evaluations.
    """
    if question.points is None or question.smoothing or question.x == EVALUATIONS_SERIES:
        return None
    wanted = [(run, s) for run, found in summaries.items() for s in found.values() if s.name in series and s.n]
    if max((s.n for _, s in wanted), default=0) < LONG_SERIES_FACTOR * question.points:
        return None
    nothing: dict[str, dict[str, Curve]] = {run: {} for run in summaries}
    return nothing | read.thinned_curves(connection, wanted, question.points, *window)


def _step_window(
    question: Question,
    groups: Sequence[RunGroup],
    summaries: Mapping[str, Mapping[str, SeriesSummary]],
    timings: Mapping[str, RunTiming],
) -> tuple[int, int]:
    """Return the steps that the question's window spans in any run, with a margin on both sides."""
    if question.window is None or question.x == EVALUATIONS_SERIES:
        return 0, read.LAST_STEP
    low, high = question.window
    if question.x == "step":
        margin = (high - low) / MARGIN
        return max(0, int(low - margin)), min(int(high + margin) + 1, read.LAST_STEP)
    ends = list[tuple[int, int]]()
    for trial in (trial for group in groups for trial in group.trials):
        for run in trial.runs:
            steps = axes.spread(max((each.last_step or 0 for each in summaries[run.id].values()), default=0))
            x = axis_values(question.x, steps, trial.experiment, timings.get(run.id))
            ends.append(axes.steps_within(steps, x, low, high))
    return min(first for first, _ in ends), max(last for _, last in ends)


def hardware(known: RunTiming) -> str:
    """Return the kind of device of a run's attempts; several, joined, where they differ."""
    kinds = {
        f"{e.get('device_name')}" + (f", {e.get('threads')} threads" if str(e.get("device")) == "cpu" else "")
        for e in known.environments
    }
    return " and ".join(sorted(kinds))


def series_of(data: ComparisonData, name: str) -> list[GroupSeries]:
    """Return one series of every group, all runs on one grid."""
    groups = data.groups
    overlaps = [overlap_of(group.folds) for group in groups]
    last = statistics([_values(data, group.runs, name, "last") for group in groups], overlaps)
    best = statistics([_values(data, group.runs, name, "best") for group in groups], overlaps)
    bands = _bands(data, name)
    return [
        GroupSeries(direction=better_direction(name), curve=raw, smoothed=smoothed, last=last[place], best=best[place])
        for place, (raw, smoothed) in enumerate(bands)
    ]


def _values(data: ComparisonData, found: Sequence[StoredRun], name: str, figure: RankedBy) -> list[float]:
    values = (data.value(run, name, figure) for run in found)
    return [value for value in values if value is not None]


def _bands(data: ComparisonData, name: str) -> list[tuple[CurveBand | None, CurveBand | None]]:
    """Return each group's raw curves aggregated, and its smoothed ones if the question asks for them."""
    question = data.question
    if question.points is None:
        return [(None, None)] * len(data.groups)
    rows: list[align.Curve] = []
    owned: list[list[int]] = []  # the rows of each group
    for group in data.groups:
        found = [data.band(run, trial, name) for trial in group.trials for run in trial.runs]
        there = [each for each in found if each is not None]
        owned.append(list(range(len(rows), len(rows) + len(there))))
        rows += there
    overlaps = [overlap_of(group.folds) for group in data.groups]
    raw = _grouped([row.within(question.window) for row in rows], owned, overlaps, question.points)
    if not question.smoothing:
        return [(band, None) for band in raw]
    smoothed = [align.Curve(row.x, smooth(row.y, question.smoothing)).within(question.window) for row in rows]
    return list(zip(raw, _grouped(smoothed, owned, overlaps, question.points), strict=True))


def _grouped(
    rows: Sequence[align.Curve], owned: Sequence[Sequence[int]], overlaps: Sequence[float], points: int
) -> list[CurveBand]:
    aligned = align.resample(rows, points)
    x = aligned.x.tolist()
    return [
        curve_band(x, aggregate_curves(aligned.y[list(mine)], aligned.present[list(mine)], overlap))
        for mine, overlap in zip(owned, overlaps, strict=True)
    ]
