"""The route of a run's replays: whether each came out the same."""

from fastapi import APIRouter
from pydantic import Field

from service.analysis.replaying import Verdict, verdict
from service.api.deps import ConnectionDep, PrincipalDep, RunId
from service.api.runs import view as run_view
from service.api.views import Number, RunView, View
from service.db import metrics, runs
from service.db.session import Connection
from service.lifecycle import TERMINAL, Relation

router = APIRouter(prefix="/v1/runs", tags=["runs"])


class DifferenceView(View):
    """The first step at which a series is another; null: there is no value at that step."""

    series: str
    step: int
    was: Number | None
    now: Number | None


class ReplayView(View):
    """A replay, and what comparing it to its run shows."""

    run: RunView
    complete: bool = Field(description="false: it still trains, and the verdict is about the steps so far")
    identical: bool | None = Field(description="every loss and rate to the last bit; null: nothing to compare yet")
    compared_steps: int
    first_difference: DifferenceView | None
    cause: str | None = Field(description="why it probably differs, from what both machines said of themselves")


class ReplaysView(View):
    """A run's replays, oldest first."""

    items: list[ReplayView]


@router.get("/{run_id}/replays", operation_id="list_replays")
def list_replays(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> ReplaysView:
    """Every time the run was trained again to see whether it comes out the same, and whether it did."""
    runs.get(connection, principal, run_id)
    items = []
    for replay in runs.made_of(connection, run_id, Relation.REPLAY):
        judged = _verdict(connection, run_id, replay.id, replay.total_steps)
        first = judged.first_difference
        items.append(
            ReplayView(
                run=run_view(connection, replay),
                complete=replay.state in TERMINAL,
                identical=judged.identical,
                compared_steps=judged.compared_steps,
                first_difference=None if first is None else DifferenceView(**first.__dict__),
                cause=judged.cause,
            )
        )
    return ReplaysView(items=items)


def _verdict(connection: Connection, run_id: str, replay_id: str, last: int) -> Verdict:
    names = [each.name for each in metrics.summaries(connection, [run_id])[run_id]]
    compared = [name for name in names if name == "loss" or name.split("/", 1)[0] == "lr"]
    was, now = (metrics.read(connection, each, compared, 0, last) for each in (run_id, replay_id))
    environments = [[a.environment for a in runs.attempts(connection, each)] for each in (run_id, replay_id)]
    was_on, now_on = (next((each for each in found if each), None) for found in environments)
    return verdict(was, now, was_on, now_on)
