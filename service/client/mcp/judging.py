"""Tools that judge: compare groups of runs, confirm a winner by fresh seeds, diagnose a run."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from service.client import lookup
from service.client.errors import Unusable
from service.client.mcp.reading import MARKDOWN
from service.client.mcp.tool import Tool
from service.client.paths import part

if TYPE_CHECKING:
    from service.client.client import Client

Comparison = Annotated[str, Field(description="the id that compare returned, cmp_...")]


def compare(
    client: "Client",
    what: Annotated[
        list[str], Field(max_length=200, description="experiments by id or name, or only runs; empty: give a filter")
    ] = [],  # noqa: B006  never changed
    filter: Annotated[str, Field(description="instead of names: every experiment that matches, like tag = sweep")] = "",
    series: Annotated[
        list[str], Field(max_length=20, description="the first is ranked; empty: val/loss, val/accuracy or loss")
    ] = [],  # noqa: B006
    group: Annotated[
        str, Field(description="experiment, run, or a field like optimizer.kind: each value by its best experiment")
    ] = "experiment",
    baseline: Annotated[
        str, Field(description="label to hold the others against; empty: the first of the ranking")
    ] = "",
) -> str:
    """Say which is better, by how much and how sure that is, paired by seed; store the question under an id (cmp_...).

    `indistinguishable` means that these seeds do not tell; it says how many more would. `unconfirmed` means that the
    best of many trials may be luck: call confirm. Do not call one better yourself by its mean alone.
    """
    named = [found for each in what for found in lookup.resolve(client, each)]
    if bool(named) == bool(filter):
        raise Unusable("give `what` or `filter`, not both and not neither")
    question: dict[str, Any] = {"filter": filter} if filter else {}
    question |= {"group": group, "points": None} | ({"baseline": baseline} if baseline else {})
    made = client.compare(named, series or None, **question)
    return client.http.text(f"/v1/comparisons/{part(made.id)}", MARKDOWN)


def confirm(
    client: "Client",
    comparison: Comparison,
    seeds: Annotated[int | None, Field(ge=2, le=100, description="for each group; null: as many as would tell")] = None,
    groups: Annotated[list[str], Field(max_length=10, description="labels of two or more groups; empty: all")] = [],  # noqa: B006
) -> str:
    """Train a comparison's contestants again from seeds that nobody used, and judge by these alone.

    Needed where the verdict is `unconfirmed`, before you report a winner of a search. Then wait for the comparison's id
    and read its status.
    """
    made = client.confirm(part(comparison), seeds, groups or None)
    return client.http.text(f"/v1/comparisons/{part(made.id)}", MARKDOWN)


def extend_confirmation(
    client: "Client",
    comparison: Comparison,
    seeds: Annotated[int, Field(ge=1, le=100, description="for each group: the `more seeds` that would tell")],
) -> str:
    """Add further fresh seeds to a confirmation that did not decide; allowed at any time and as often as needed.

    From then on only the test that may be looked at any time tells. Take the number that the status names.
    """
    made = client.extend_confirmation(part(comparison), seeds)
    return client.http.text(f"/v1/comparisons/{part(made.id)}", MARKDOWN)


def diagnose(
    client: "Client", run: Annotated[str, Field(description="a run: its id, or NAME:SEED; it may still train")]
) -> str:
    """Say why a run learned or did not: findings with evidence, confidence, and a patch of the spec to try.

    Use it when a run failed, diverged, or is worse than expected, before you change the spec by guessing.
    """
    return client.http.text(f"/v1/runs/{part(lookup.resolve_run_id(client, run))}/diagnosis", MARKDOWN)


TOOLS = (
    Tool("Compare experiments", "reads", compare),
    Tool("Confirm by fresh seeds", "adds", confirm),
    Tool("Extend a confirmation", "adds", extend_confirmation, repeatable=False),
    Tool("Diagnose a run", "reads", diagnose),
)
