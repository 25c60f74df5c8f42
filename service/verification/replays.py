"""The replays of a run, and whether each came out the same."""

from service.db.access.projects import Principal
from service.db.metrics import read
from service.db.runs import runs
from service.db.session import Connection
from service.experiments.run_answers import read_run
from service.lifecycle import TERMINAL, Relation
from service.schemas.replays import DifferenceView, ReplaysView, ReplayView
from service.verification.replay_verdict import Verdict, verdict


def replays_of(connection: Connection, principal: Principal, run_id: str) -> ReplaysView:
    """Return every replay of a run, oldest first, each compared with the run."""
    runs.get(connection, principal, run_id)
    items = []
    for replay in runs.derived_from(connection, run_id, Relation.REPLAY):
        judged = _verdict(connection, run_id, replay.id, replay.total_steps)
        first = judged.first_difference
        view = ReplayView.of(
            judged,
            run=read_run(connection, replay),
            complete=replay.state in TERMINAL,
            first_difference=first and DifferenceView.of(first),
        )
        items.append(view)
    return ReplaysView(items=items)


def _verdict(connection: Connection, run_id: str, replay_id: str, last: int) -> Verdict:
    names = [each.name for each in read.summaries(connection, [run_id])[run_id]]
    compared = [name for name in names if name == "loss" or name.split("/", 1)[0] == "lr"]
    was, now = (read.curves_of_run(connection, each, compared, 0, last) for each in (run_id, replay_id))
    environments = [[a.environment for a in runs.attempts(connection, each)] for each in (run_id, replay_id)]
    was_on, now_on = (next((each for each in found if each), None) for found in environments)
    return verdict(was, now, was_on, now_on)
