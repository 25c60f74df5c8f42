"""Studies as markdown: how far, the best trial so far, what it cost and saved, and what fresh seeds say."""

import json
from collections.abc import Iterator

from service.export.markdown.runs import json_lines
from service.markdown import document, interval, number, plain, quote_names, quoted, table
from service.schemas.common import Json
from service.schemas.studies.answers import StudyConfirmation, StudyView, UseView

MAX_PATCH = 800  # characters


def study_markdown(found: StudyView) -> str:
    """Return a study."""
    sections = [_head(found), _best(found), _budget(found), _confirmation(found.confirmation), _space(found.document)]
    return document(sections, f"GET /v1/studies/{found.id} and /trials")


def _head(found: StudyView) -> Iterator[str]:
    counts = ", ".join(f"{count} {state}" for state, count in found.trials.items()) or "none yet"
    better = "lower" if found.direction == "min" else "higher"
    yield f"# Study {found.id}"
    yield ""
    yield f"- name {quoted(found.name)}, by {quoted(found.owner)}, {found.created_at:%Y-%m-%d %H:%M} UTC"
    yield f"- {found.state}" + (f": {plain(found.why)}" if found.why else "")
    yield f"- objective {plain(found.series)}, {better} is better"
    yield f"- trials: {counts}"
    yield from (f"- warning {plain(each.pointer)}: {plain(each.detail)}" for each in found.warnings)


def _best(found: StudyView) -> Iterator[str]:
    yield "## Best so far"
    yield ""
    best = found.best
    if best is None:
        yield "No trial has finished with a value."
        return
    low, high = best.interval or (None, None)
    yield f"Trial {best.number}, experiment {best.experiment_id}: {number(best.value)}, 95 % {interval(low, high)}"
    yield f"at {point_text(best.point)}."
    yield "It was chosen for this value, which flatters it: confirm the study by fresh seeds."
    yield ""
    yield "Patch of the base (RFC 6902):"
    yield ""
    yield from json_lines(best.patch, MAX_PATCH)


def point_text(point: Json) -> str:
    """Return a point in one line: `/optimizer/lr = 0.01, /batch_size = 32`."""
    return plain(", ".join(f"{pointer} = {json.dumps(value)}" for pointer, value in point.items()))


def _budget(found: StudyView) -> Iterator[str]:
    budget = found.budget
    yield "## Budget, all seeds together"
    yield ""
    rows = [
        _used("trials", budget.trials),
        _used("steps", budget.steps),
        _used("device seconds", budget.device_seconds),
    ]
    yield from table(["of", "used", "limit"], rows)
    yield ""
    yield f"{budget.saved_steps:,} steps were saved by stopping trials early."


def _used(name: str, use: UseView) -> list[str]:
    return [name, f"{use.used:,.6g}", "-" if use.limit is None else f"{use.limit:,.6g}"]


def _confirmation(found: StudyConfirmation | None) -> Iterator[str]:
    if found is None:
        return
    yield "## Confirmation by fresh seeds"
    yield ""
    names = [each.label for each in found.confirmation.contestants]
    yield f"{found.state}, comparison {found.comparison_id}: {quote_names(found.report, names)}"
    yield ""
    rows = [
        [
            "the base" if each.number is None else f"trial {each.number}",
            each.experiment_id,
            each.n,
            number(each.mean),
            interval(*(each.interval or (None, None))),
        ]
        for each in found.fresh
    ]
    yield from table(["contestant", "experiment", "runs", "mean", "95 % interval"], rows)
    if (looked := found.confirmation.sequential) is not None and looked.decided is None and looked.more_seeds:
        yield ""
        yield f"Not decided: {looked.more_seeds} more seeds would tell in 4 of 5 cases."


def _space(spec: Json) -> Iterator[str]:
    sampler, pruner = (spec.get(name) or {} for name in ("sampler", "pruner"))
    yield "## Search"
    yield ""
    yield f"- sampler {plain(str(sampler.get('kind')))}, pruner {plain(str(pruner.get('kind')))}"
    for pointer, each in (spec.get("space") or {}).items():
        shown = {name: value for name, value in each.items() if name != "options"}
        options = f", {len(each['options'])} options" if each.get("options") else ""
        yield f"- {plain(pointer)}: {plain(json.dumps(shown))}{options}"
