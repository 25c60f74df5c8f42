"""Runs and experiments as markdown."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from service.markdown import document, interval, number, plain, quoted, table
from service.schemas.common import Json
from service.schemas.experiments import ExperimentView, FiguresView
from service.schemas.runs import RunView

MAX_SERIES, MAX_RUNS, MAX_SPEC = 20, 20, 1500  # rows, rows, characters
PARTS = ("dataset", "model", "loss", "optimizer", "schedule")
FIRST = ("val/loss", "val/accuracy", "loss")  # of the series, those that most questions are about


def run_markdown(run: RunView) -> str:
    """Return one run: where it is, why it waits or failed, and the summary of each series."""
    return document([_run_head(run), _series(run)], f"GET /v1/runs/{run.id}")


def _run_head(run: RunView) -> Iterator[str]:
    yield f"# Run {run.id}"
    yield ""
    yield f"- experiment {run.experiment_id}, seed {run.seed}" + ("" if run.fold is None else f", fold {run.fold}")
    yield f"- {run.displayed}: step {run.step} of {run.total_steps} ({run.progress:.0%}), attempt {run.attempt}"
    yield f"- trained {run.trained_s:.1f} s in pool {plain(run.pool)}, last checkpoint at step {run.checkpoint_step}"
    if run.relation is not None:
        yield f"- {run.relation} of {run.parent_run_id}, from step {run.origin_step}"
    if run.waiting is not None:
        yield f"- waits: {run.waiting.before} runs before it; {plain(run.waiting.reason)}"
    if run.failure is not None:
        yield f"- failed: {failure_text(run.failure)}"
    elif run.diverged:
        yield "- diverged: it went on after a loss that was not finite"


def failure_text(failure: Json) -> str:
    """Return why a run failed, in one line; the detail may hold text of a team's own code."""
    step = "" if failure.get("step") is None else f" at step {failure['step']}"
    return f"{plain(str(failure.get('code')))}{step}: {quoted(str(failure.get('detail') or ''), 300)}"


def _series(run: RunView) -> Iterator[str]:
    names = sorted(run.series, key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name))
    rows = []
    for name in names:
        found = run.series[name]
        shown = found.last if found.final is None else found.final
        least, most = (
            f"{number(value)} at {step}" for value, step in ((found.min, found.min_step), (found.max, found.max_step))
        )
        rows.append([plain(name), number(shown), least, most, found.n, found.nonfinite])
    yield "## Series"
    yield ""
    if not rows:
        yield "No points yet."
    yield from table(["series", "last", "min", "max", "points", "not finite"], rows, MAX_SERIES)
    if any(each.final is not None for each in run.series.values()):
        yield ""
        yield "`last` of a series with one value per minibatch is the mean over the final stretch of the run."


def experiment_markdown(found: ExperimentView) -> str:
    """Return an experiment: what it trains, its result over the seeds, and its runs."""
    sections = [_experiment_head(found), _result(found.main), _runs(found), _spec(found.spec)]
    return document(sections, f"GET /v1/experiments/{found.id}")


def _experiment_head(found: ExperimentView) -> Iterator[str]:
    yield f"# Experiment {found.id}"
    yield ""
    yield f"- name {quoted(found.name)}, by {quoted(found.owner)}, {found.created_at:%Y-%m-%d %H:%M} UTC"
    yield f"- spec {found.hash[:16]}: {', '.join(spec_parts(found.spec))}"
    if found.tags:
        yield f"- tags: {', '.join(map(quoted, found.tags))}"
    if found.notes:
        yield f"- notes: {quoted(found.notes, 300)}"
    yield f"- runs: {count_states([run for run in found.runs if run.id not in found.superseded])}"
    if found.superseded:
        yield f"- {len(found.superseded)} more runs count in no comparison: retried ones, replays, probe jobs"


def spec_parts(spec: Json) -> Iterator[str]:
    """Yield what a spec trains, a part at a time: `optimizer adam (lr 0.001)`."""
    for part in PARTS:
        if isinstance(each := spec.get(part), dict):
            rate = f" (lr {each['lr']:g})" if isinstance(each.get("lr"), int | float) else ""
            yield f"{part} {plain(str(each.get('kind')))}{rate}"


def count_states(runs: Sequence[RunView]) -> str:
    """Return how many runs are in each state: `2 succeeded, 1 running`."""
    return ", ".join(f"{count} {state}" for state, count in Counter(run.displayed for run in runs).items()) or "none"


def _result(main: FiguresView | None) -> Iterator[str]:
    if main is None:
        return
    better = "lower" if main.direction == "min" else "higher"
    value, bounds = (main.best, main.best_interval) if main.ranked_by == "best" else (main.last, main.last_interval)
    low, high = bounds or (None, None)
    yield "## Result"
    yield ""
    yield (
        f"{main.ranked_by} {plain(main.series)} ({better} is better): mean {number(value)}, "
        f"95 % interval {interval(low, high)}, over {main.n} seeds"
        + (f", {main.diverged} diverged" if main.diverged else "")
        + (f", {main.incomplete} without a value" if main.incomplete else "")
        + (f", {main.provisional} still going" if main.provisional else "")
    )


def _runs(found: ExperimentView) -> Iterator[str]:
    series = found.main.series if found.main else None
    rows = [
        [
            run.id,
            run.seed,
            run.displayed,
            f"{run.step}/{run.total_steps}",
            number(_last(run, series)),
            failure_text(run.failure) if run.failure else "",
        ]
        for run in found.runs
        if run.id not in found.superseded
    ]
    yield "## Runs"
    yield ""
    yield from table(["run", "seed", "state", "step", f"last {plain(series or '')}".strip(), "failure"], rows, MAX_RUNS)


def _last(run: RunView, series: str | None) -> float | None:
    held = run.series.get(series or "")
    return None if held is None else held.last if held.final is None else held.final


def _spec(spec: Json) -> Iterator[str]:
    yield "## Spec"
    yield ""
    yield from json_lines(spec, MAX_SPEC)


def json_lines(value: Any, most: int) -> Iterator[str]:
    """Yield a document as a block of compact JSON; backticks in it are escaped, so that none ends the block."""
    text = json.dumps(value, ensure_ascii=True).replace("`", "\\u0060")
    yield "```json"
    yield text if len(text) <= most else f"{text[:most]} ..."
    yield "```"
