"""Tools of studies: check one, start one, confirm its best trial. Status, wait and cancel take a study's id too."""

import secrets
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from service.client.mcp.reading import study_status
from service.client.mcp.tool import Tool
from service.client.paths import part
from service.export.markdown.studies import point_text
from service.markdown import document, number, plain

if TYPE_CHECKING:
    from service.client.client import Client

MAX_POINTS = 5
StudyDocument = Annotated[
    dict[str, Any],
    Field(
        description="A study as a JSON object, for example "
        '{"name": "rate", "base": {"preset": "digits-adam", "epochs": 5}, "space": {"/optimizer/lr": '
        '{"kind": "log_uniform", "low": 1e-5, "high": 0.1}}, "sampler": {"kind": "tpe"}, "pruner": {"kind": "asha"}, '
        '"budget": {"trials": 20}, "seeds": [0, 1, 2]}. find_parts has the families dimensions (log_uniform for rates, '
        "decays), samplers and pruners. The budget has trials, steps or device_seconds, for all seeds together"
    ),
]
StudyId = Annotated[str, Field(description="the study's id, std_...")]


def check_study(client: "Client", study: StudyDocument) -> str:
    """Validate a study without storing it (a dry run): its first points, its cost with an interval, and warnings.

    Do this before start_study, and narrow the space or the budget if the cost is too high.
    """
    found = client.http.post("/v1/studies", study, {"dry_run": "true"})
    duration, trials = found["duration"], found["trials"]
    cost = (
        "not known; nothing like it has been trained here yet"
        if duration is None
        else f"{number(duration['seconds'], 3)} s of a device, 8 in 10 between {number(duration['low'], 3)} and "
        f"{number(duration['high'], 3)}, if no trial is stopped early"
    )
    head = [
        "# Valid; nothing was stored",
        "",
        f"- {'?' if trials is None else trials} trials of {found['steps_per_trial']} steps, all seeds together",
        f"- rungs at {', '.join(map(str, found['rung_steps'])) or 'no'} steps",
        f"- cost: {cost}",
    ]
    points = ["## It would try first", "", *(f"- {point_text(each)}" for each in found["points"][:MAX_POINTS])]
    warned = [f"- {plain(each['pointer'])}: {plain(each['detail'])}" for each in found["warnings"]]
    return document([head, points, ["## Warnings", "", *warned] if warned else []], "POST /v1/studies?dry_run=true")


def start_study(client: "Client", study: StudyDocument) -> str:
    """Start a search over a space of specs within a budget, instead of submitting many specs one by one.

    Check it first. Then wait with its id (std_...) and read its status; before you report its best, call confirm_study.
    Each call starts another study. Its trials count against the quotas of your key's person and project.
    """
    made = client.http.post("/v1/studies", study, None, secrets.token_hex(16))
    return study_status(client, made["id"])


def confirm_study(
    client: "Client",
    study: StudyId,
    seeds: Annotated[int | None, Field(ge=2, le=100, description="null: as many as would tell, 5 to 20")] = None,
) -> str:
    """Train a study's best trial and the runner-up again from seeds that no trial used, and judge by these alone.

    The best of many trials looks better than it is, so do this before you report a winner. Then wait for the
    comparison's id (cmp_...) that the answer names, and read the study's status.
    """
    client.http.post(f"/v1/studies/{part(study)}/confirm", {"seeds": seeds})
    return study_status(client, study)


TOOLS = (
    Tool("Check a study", "reads", check_study),
    Tool("Start a study", "adds", start_study, repeatable=False),
    Tool("Confirm a study's best by fresh seeds", "adds", confirm_study),
)
