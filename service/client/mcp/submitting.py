"""Tools around a spec: check it, estimate its cost, submit it, cancel what runs."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from service.client import lookup
from service.client.errors import describe
from service.client.formatting import size
from service.client.mcp.tool import Spec, Tool, Which
from service.client.paths import part
from service.errors import Problem
from service.export.markdown.runs import spec_parts
from service.markdown import document, number, plain, quoted, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.client.client import Client
    from service.schemas.experiments import PostedExperiment

MAX_RUNS = 20


def check_spec(client: "Client", spec: Spec) -> str:
    """Validate a spec without storing or training anything (a dry run). Do this before submit.

    An invalid spec is an error that lists every problem at once, with the field, the allowed range and the likely name.
    """
    found = client.submit(spec, dry_run=True)
    return document([_facts("Valid; nothing was stored", found), _warnings(found)], "saddle submit --dry-run --json")


def estimate_cost(client: "Client", spec: Spec) -> str:
    """Estimate what a spec would cost: steps, parameters, memory, bytes kept, seconds of a device.

    Also what waits in the queue already, and what is left of your quotas. Nothing is stored or trained.
    """
    found = client.submit(spec, dry_run=True)
    sections = [_facts("Estimate; nothing was stored", found), _cost(found), _queue(client), _quotas(client)]
    return document(sections, "GET /v1/quotas and GET /v1/queue")


def _facts(head: str, found: "PostedExperiment") -> "Iterator[str]":
    derived, seeds = found.derived, found.spec.get("seeds") or []
    yield f"# {head}"
    yield ""
    yield f"- name {quoted(found.name or '')}, spec {(found.hash or '')[:16]}: {', '.join(spec_parts(found.spec))}"
    yield f"- {derived.total_steps} steps a run ({derived.steps_per_epoch} an epoch), {len(seeds)} seeds"
    if derived.parameters is not None:
        yield f"- {derived.parameters:,} parameters, about {size(derived.memory_bytes)} of memory"
    alone = f"alone: {plain(derived.alone)}" if derived.alone else "together with runs that differ only in values"
    yield f"- trained {alone}"


def _warnings(found: "PostedExperiment") -> "Iterator[str]":
    if found.warnings:
        yield "## Allowed, and probably not meant"
        yield ""
    for each in found.warnings:
        yield f"- {plain(describe(Problem(each.pointer, each.code, each.detail, each.limit, each.did_you_mean)))}"


def _cost(found: "PostedExperiment") -> "Iterator[str]":
    runs = max(len(found.spec.get("seeds") or []), 1) * (found.spec.get("dataset", {}).get("folds") or 1)
    yield "## Cost"
    yield ""
    yield f"- {runs} runs, {runs * found.derived.total_steps:,} steps together"
    if found.derived.checkpoint_bytes is not None:
        yield f"- about {size(found.derived.checkpoint_bytes * runs)} are kept at the end"
    if (time := found.duration) is None:
        yield "- seconds: not known; nothing like it has been trained here yet"
    else:
        yield (
            f"- {number(time.seconds, 3)} s a run, 8 in 10 between {number(time.low, 3)} and {number(time.high, 3)} "
            f"(from {time.runs} earlier runs); {number(time.seconds * runs, 3)} s of a device together"
        )


def _queue(client: "Client") -> "Iterator[str]":
    pools = client.http.get("/v1/queue")["pools"]
    yield "## Queue"
    yield ""
    for pool in pools:
        running, waiting = (pool[name] + pool["others"][name] for name in ("running", "waiting"))
        yield f"- pool {plain(pool['pool'])}: {running} running, {waiting} waiting"
    if not pools:
        yield "- nothing runs or waits"


def _quotas(client: "Client") -> "Iterator[str]":
    found = client.http.get("/v1/quotas")
    rows: list[list[Any]] = [
        [plain(each["what"]), _count(each["used"]), _count(each["limit"]), plain(each["unit"]), whose]
        for whose, held in (("this key's", found["key"]), ("yours", found["own"]), ("the project's", found["quotas"]))
        for each in held
        if each["limit"] is not None
    ]
    yield "## Quotas"
    yield ""
    yield from table(["of", "used", "limit", "unit", "whose"], rows) if rows else ["No limits."]


def _count(value: float | None) -> str:
    return "-" if value is None else f"{value:,.6g}"


def submit(
    client: "Client",
    spec: Spec,
    name: Annotated[str, Field(description="instead of the spec's; give names that say what differs")] = "",
    seeds: Annotated[
        list[int] | None, Field(description="instead of the spec's; a run is trained for each. 3 or more to compare")
    ] = None,
) -> str:
    """Store an experiment and queue a run for each seed. Check the spec first; then call wait with the id.

    Each call makes another experiment. It counts against the quotas of your key's person and project.
    """
    made = client.submit(spec | ({"name": name} if name else {}), seeds=seeds)
    rows = [[run.id, run.seed, run.displayed] for run in made.runs]
    queued = ["## Runs", "", *table(["run", "seed", "state"], rows, MAX_RUNS)]
    sections = [_facts(f"Submitted {made.id}", made), _warnings(made), queued]
    return document(sections, f"GET /v1/experiments/{made.id}")


def cancel(client: "Client", what: Which) -> str:
    """Cancel a run, every run of an experiment that has not ended, or stop a study (std_...), whose trials then end.

    It cannot be undone; what was recorded stays.
    """
    if lookup.is_id(what, "std"):
        state = client.http.post(f"/v1/studies/{part(what)}/stop")["state"]
        return f"{what}: {state}\n"
    (found,) = lookup.resolve(client, what)
    if lookup.is_id(found, "run"):
        run = client.cancel(found)
        return f"{run.id}: {run.displayed} at step {run.step} of {run.total_steps}\n"
    runs = client.cancel_experiment(found).runs
    rows = [[run.id, run.seed, run.displayed, f"{run.step}/{run.total_steps}"] for run in runs]
    return document(
        [[f"# {found}"], table(["run", "seed", "state", "step"], rows, MAX_RUNS)], f"/v1/experiments/{found}"
    )


TOOLS = (
    Tool("Check a spec", "reads", check_spec),
    Tool("Estimate cost, queue and quotas", "reads", estimate_cost),
    Tool("Submit an experiment", "adds", submit, repeatable=False),
    Tool("Cancel runs", "ends", cancel),
)
