"""Tools that say how things stand: list experiments, status of one, wait until runs end."""

import time
from typing import TYPE_CHECKING, Annotated

import anyio
from anyio.to_thread import run_sync
from pydantic import Field

from service.client import lookup
from service.client.errors import Unusable
from service.client.mcp.tool import Tool, Which
from service.client.paths import part
from service.export.markdown.runs import failure_text
from service.export.markdown.studies import point_text
from service.markdown import document, number, plain, quoted, table

if TYPE_CHECKING:
    from service.client.client import Client
    from service.schemas.runs import RunView

MARKDOWN = "text/markdown"
MAX_LISTED, MAX_AWAITED, POLL_S = 50, 50, 1.0
STUDYING, MAX_BEST = ("running", "paused"), 5  # states that are not ends; trials that are shown
MAIN = ("val/loss", "val/accuracy", "loss")


def list_experiments(
    client: "Client",
    filter: Annotated[
        str,
        Field(
            description="like: optimizer.kind = adam AND best(val/loss) < 0.2, state = failed, tag = sweep, "
            'name ~ "momentum"; empty: all'
        ),
    ] = "",
    sort: Annotated[str, Field(description="like -best(val/accuracy) or name; empty: newest first")] = "",
    limit: Annotated[int, Field(ge=1, le=MAX_LISTED, description="how many at most")] = 20,
) -> str:
    """List or search the project's experiments, with the state of their runs and their result over the seeds.

    An error in the filter says the column and what is expected there.
    """
    found = list(client.experiments(limit, filter=filter or None, sort=sort or None))
    rows = []
    for each in found:
        main, states = each.main, ", ".join(f"{count} {state}" for state, count in each.runs.items() if count)
        result = (main.best if main.ranked_by == "best" else main.last) if main else None
        what = f"{main.ranked_by} {main.series}" if main else ""
        rows.append([each.id, quoted(each.name, 40), states, f"{each.progress:.0%}", plain(what), number(result)])
    if not rows:
        return "No experiment matches.\n"
    return document([table(["id", "name", "runs", "done", "figure", "mean"], rows, MAX_LISTED)], "GET /v1/experiments")


def status(client: "Client", what: Which) -> str:
    """Tell how an experiment, a run, a stored comparison (cmp_...) or a study (std_...) stands now.

    States, results over the seeds, failures, the spec; of a study its budget, its best trials, its confirmation.
    """
    if lookup.is_id(what, "cmp"):
        return client.http.text(f"/v1/comparisons/{part(what)}", MARKDOWN)
    if lookup.is_id(what, "std"):
        return study_status(client, what)
    found = lookup.resolve(client, what)
    if len(found) > 1:
        raise Unusable(f"{what} has {len(found)} runs: {', '.join(found[:20])}; name one")
    kind = "runs" if lookup.is_id(found[0], "run") else "experiments"
    return client.http.text(f"/v1/{kind}/{part(found[0])}", MARKDOWN)


def study_status(client: "Client", study: str) -> str:
    """Return how a study stands, and its best trials."""
    text = client.http.text(f"/v1/studies/{part(study)}", MARKDOWN)
    found = client.http.get(f"/v1/studies/{part(study)}")
    sign = 1 if found["direction"] == "min" else -1
    trials = client.http.get(f"/v1/studies/{part(study)}/trials")["items"]
    known = sorted((each for each in trials if each["value"] is not None), key=lambda each: sign * each["value"])
    rows = [
        [each["number"], each["experiment_id"] or "-", number(each["value"]), point_text(each["point"])]
        for each in known[:MAX_BEST]
    ]
    best = ["## Best trials", "", *table(["trial", "experiment", "value", "point"], rows)] if rows else []
    return document([[text.rstrip()], best], f"GET /v1/studies/{study}/trials")


async def wait(
    client: "Client",
    what: Annotated[
        list[str],
        Field(
            min_length=1,
            max_length=MAX_AWAITED,
            description="experiments or runs, by id or name; a comparison (cmp_...) stands for its confirmation's "
            "runs; or one study (std_...) alone",
        ),
    ],
    deadline_s: Annotated[
        float,
        Field(ge=0, le=600, description="seconds until the answer comes at the latest; keep below your own limit"),
    ] = 50.0,
) -> str:
    """Wait until all of these runs have ended, at most `deadline_s` seconds; then tell how each stands.

    If the deadline passes first, the answer says what is known and what still goes on: call it again.
    """
    until = time.monotonic() + deadline_s
    if len(what) == 1 and lookup.is_id(what[0], "std"):
        return await _wait_for_study(client, what[0], until)
    ids = await run_sync(_awaited, client, what)
    while True:
        runs = await run_sync(_current, client, ids)
        left = until - time.monotonic()
        if all(run.over for run in runs) or left <= 0:
            return _told(runs, deadline_s)
        await anyio.sleep(min(POLL_S, left))


async def _wait_for_study(client: "Client", study: str, until: float) -> str:
    path = f"/v1/studies/{part(study)}"
    while (await run_sync(client.http.get, path))["state"] in STUDYING and (left := until - time.monotonic()) > 0:
        await anyio.sleep(min(POLL_S, left))
    return await run_sync(study_status, client, study)


def _awaited(client: "Client", what: list[str]) -> list[str]:
    """Return the ids of experiments and runs."""
    found: list[str] = []
    for each in what:
        if lookup.is_id(each, "cmp"):
            confirmation = client.comparison(each).confirmation
            if confirmation is None:
                raise Unusable(f"{each} has no confirmation to wait for: call confirm first")
            found += [each for held in confirmation.contestants for each in held.experiment_ids or [held.experiment_id]]
        else:
            found += lookup.resolve(client, each)
    return list(dict.fromkeys(found))


def _current(client: "Client", ids: list[str]) -> "list[RunView]":
    found: dict[str, RunView] = {}
    for each in ids:
        if lookup.is_id(each, "run"):
            found[each] = client.run(each)
        else:
            made = client.experiment(each)
            found |= {run.id: run for run in made.runs if run.id not in made.superseded}
    return list(found.values())


def _told(runs: "list[RunView]", deadline_s: float) -> str:
    going = [run for run in runs if not run.over]
    head = (
        "All runs have ended."
        if not going
        else (f"{len(going)} of {len(runs)} runs have not ended after {deadline_s:g} s: call wait again.")
    )
    rows = [
        [
            run.id,
            run.experiment_id,
            run.seed,
            run.displayed,
            f"{run.step}/{run.total_steps}",
            _last(run),
            failure_text(run.failure) if run.failure else "",
        ]
        for run in [*going, *(run for run in runs if run.over)]
    ]
    listed = table(["run", "experiment", "seed", "state", "step", "last", "failure"], rows)
    return document([[head], listed], "GET /v1/runs/{id} of each")


def _last(run: "RunView") -> str:
    """Return the value that most questions are about."""
    series = next((name for name in MAIN if name in run.series), None)
    if series is None:
        return "-"
    found = run.series[series]
    return f"{series} {number(found.last if found.final is None else found.final)}"


TOOLS = (
    Tool("List or search experiments", "reads", list_experiments),
    Tool("Status of an experiment, run or comparison", "reads", status),
    Tool("Wait for runs to end", "reads", wait),
)
