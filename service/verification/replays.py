"""The replays of a run, each compared with it. The verdict is stored once both have ended."""

from collections.abc import Sequence

from service.db.access.principal import Principal
from service.db.experiments import judgements
from service.db.metrics import read
from service.db.runs import runs
from service.db.runs.runs import StoredRun
from service.db.session import Connection
from service.experiments.run_answers import read_runs
from service.lifecycle import TERMINAL, Relation
from service.schemas.replays import DifferenceView, ReplaysView, ReplayVerdictView, ReplayView
from service.verification.replay_verdict import VERSION, compare


def replays_of(connection: Connection, principal: Principal, run_id: str) -> ReplaysView:
    """Return every replay of a run, oldest first."""
    run = runs.get(connection, principal, run_id)
    replays = runs.derived_from(connection, run_id, Relation.REPLAY)
    bases = {each.id: [f"replay {VERSION}"] for each in replays if {run.state, each.state} <= TERMINAL}
    stored = judgements.load(connection, bases)
    verdicts = {replay_id: ReplayVerdictView.model_validate(found) for replay_id, found in stored.items()}
    new = _compare(connection, run, [each for each in replays if each.id not in verdicts])
    final = {replay_id: found.model_dump(mode="json") for replay_id, found in new.items() if replay_id in bases}
    judgements.store(connection, bases, final)
    verdicts |= new
    views = zip(replays, read_runs(connection, replays), strict=True)
    return ReplaysView(
        items=[ReplayView.of(verdicts[each.id], run=view, complete=each.state in TERMINAL) for each, view in views]
    )


def _compare(connection: Connection, run: StoredRun, replays: Sequence[StoredRun]) -> dict[str, ReplayVerdictView]:
    """Return the verdict on each replay, about the steps so far."""
    if not replays:
        return {}
    ids, last = [run.id, *(each.id for each in replays)], max(each.total_steps for each in replays)
    names = [each.name for each in read.summaries(connection, [run.id])[run.id]]
    compared = [name for name in names if name == "loss" or name.split("/", 1)[0] == "lr"]
    curves, environments = read.curves(connection, ids, compared, 0, last), runs.first_environments(connection, ids)
    verdicts = {}
    for replay_id in ids[1:]:
        found = compare(curves[run.id], curves[replay_id], environments.get(run.id), environments.get(replay_id))
        first = found.first_difference
        verdicts[replay_id] = ReplayVerdictView.of(found, first_difference=first and DifferenceView.of(first))
    return verdicts
