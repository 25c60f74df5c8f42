"""The queue as it is sent: the caller's project by name, others as sums."""

from collections.abc import Sequence

from service.db.access.principal import Principal
from service.db.runs import positions, turns
from service.db.runs.positions import NextRun
from service.db.runs.turns import Share
from service.db.session import Connection, every_project, turn_policy
from service.schemas.queue import NextRunView, OtherProjectsView, PersonShareView, PoolQueueView, QueueView

MAX_NEXT = 100  # waiting runs, of all pools


def read_queue(connection: Connection, principal: Principal) -> QueueView:
    """Return use, running and waiting runs of every pool, and which runs of the project are next."""
    with every_project(connection):
        names = turns.known_pools(connection)
        shares = turns.shares(connection, names)
        waiting = positions.next_runs(connection, names, principal.project_id, MAX_NEXT)
    pools = [_pool(name, principal.project_id, shares, waiting) for name in names]
    return QueueView(project=principal.project, half_life_s=turn_policy(connection).half_life_s, pools=pools)


def _pool(name: str, project_id: str, shares: Sequence[Share], waiting: Sequence[NextRun]) -> PoolQueueView:
    of_pool = [share for share in shares if share.pool == name]
    own = [share for share in of_pool if share.project_id == project_id]
    return PoolQueueView(
        pool=name,
        use_s=sum(share.use_s for share in own),
        running=sum(share.running for share in own),
        waiting=sum(share.waiting for share in own),
        people=[
            PersonShareView(member=each.owner, use_s=each.use_s, running=each.running, waiting=each.waiting)
            for each in own
        ],
        others=_others([share for share in of_pool if share.project_id != project_id]),
        next=[
            NextRunView(
                run_id=run.run_id,
                experiment_id=run.experiment_id,
                experiment=run.experiment,
                member=run.owner,
                seed=run.seed,
                priority=run.priority,
                before=run.before,
                waited_s=run.waited_s,
            )
            for run in waiting
            if run.pool == name
        ],
    )


def _others(shares: Sequence[Share]) -> OtherProjectsView:
    by_project: dict[str, float] = {}
    for share in shares:
        by_project[share.project_id] = by_project.get(share.project_id, 0.0) + share.use_s
    return OtherProjectsView(
        projects=len({share.project_id for share in shares if share.running + share.waiting}),
        use_s=sum(by_project.values()),
        most_use_s=max(by_project.values(), default=0.0),
        running=sum(share.running for share in shares),
        waiting=sum(share.waiting for share in shares),
    )
