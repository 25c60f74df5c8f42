"""What the runs of a trial say about it: it trains, waits at its rung, or has ended, and with which objective."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from service.analysis.result import FigureName, Measured, RunResult, diverged, incomplete, run_result
from service.db.runs.runs import StoredRun
from service.lifecycle import State
from service.spec.measures import LOSS_SERIES
from service.spec.studies.study import TrialObjective

Verdict = Literal["running", "waiting", "finished", "failed"]
Summaries = Mapping[str, Mapping[str, Measured]]  # by run and series


@dataclass(frozen=True)
class Observation:
    """Where a trial is; `values` has the objective of each seed, None where that diverged or measured nothing."""

    verdict: Verdict
    value: float | None = None  # mean over the seeds; None: a seed diverged, or nothing is measured yet
    values: tuple[float | None, ...] = ()
    why: str | None = None


def series_needed(objective: TrialObjective) -> list[str]:
    """Return the series that an observation reads."""
    return sorted({objective.series, *LOSS_SERIES})


def observe(objective: TrialObjective, runs: Sequence[StoredRun], summaries: Summaries) -> Observation:
    """Return where the trial of these runs is; of each seed the newest run counts.

    One seed that diverges ends the trial: its mean would be no number. One that was cancelled, or failed otherwise,
    fails it. A trial waits once each of its runs has come to its rung, or has ended before by a stop rule.
    """
    if not runs:
        return Observation("failed", why="it has no runs any more")
    results = [_result(objective, run, summaries[run.id]) for run in runs]
    values = tuple(result.value for result in results)
    lost = [run for run, result in zip(runs, results, strict=True) if result.outcome == "diverged"]
    if lost:
        seeds = ", ".join(str(run.seed) for run in lost)
        return Observation("finished", None, values, f"diverged with seed {seeds}")
    if failed := next((run for run in runs if incomplete(run)), None):
        return Observation("failed", None, values, _failure(failed))
    ended = [run.state is State.SUCCEEDED for run in runs]
    if all(ended):
        if None in values:
            return Observation("failed", None, values, f"nothing was measured of {objective.series}")
        return Observation("finished", _mean(values), values)
    if all(over or _at_rung(run) for over, run in zip(ended, runs, strict=True)):
        return Observation("waiting", _mean(values), values)
    return Observation("running")


def _at_rung(run: StoredRun) -> bool:
    return run.state is State.PAUSED and run.pause_at is not None and run.step >= run.pause_at


def _result(objective: TrialObjective, run: StoredRun, series: Mapping[str, Measured]) -> RunResult:
    figure: FigureName = "last" if objective.figure == "last" else objective.direction
    if diverged(run, series):
        return RunResult("diverged", None, provisional=False)
    return run_result(run, series, objective.series, figure)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


def _failure(run: StoredRun) -> str:
    if run.state is State.CANCELLED:
        return f"the run of seed {run.seed} was cancelled"
    failure = run.failure or {}
    return f"the run of seed {run.seed} failed ({failure.get('code', 'unknown')}): {failure.get('detail', '')}"[:500]
