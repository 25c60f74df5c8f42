"""Preemption: a run of somebody with much recent use makes way for one that has waited too long.

Decided by the dispatchers, of which one looks at a time. The run is checkpointed and queued again by its worker, as
when that drains. For each waiting run at most one makes way at a time.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, RowMapping, text

from service.db.runs import events, turns
from service.db.runs.pools import Pool, pools
from service.db.session import turn_policy
from service.lifecycle import PRIORITY_S
from service.spec.requirements import devices_need, met_by, with_devices

FAVOURED = 2.0  # times the recent use of the one who waits; so turns of two that never end grow to a half-life


@dataclass(frozen=True)
class Somebody:
    """A person in a project, and the recent use of both in one pool (seconds of a device)."""

    project_id: str
    owner_id: str
    project_use_s: float
    use_s: float


@dataclass(frozen=True)
class Waiting:
    """The first run of a queue."""

    run_id: str
    pool: str
    needs: frozenset[str]  # packages, and `devices=n`
    owner: Somebody
    waited_s: float
    priority: int = 0


@dataclass(frozen=True)
class Holder:
    """A running run and the worker that it holds."""

    run_id: str
    attempt: int
    pool: str
    has: frozenset[str]  # packages and devices of its worker
    owner: Somebody
    trained_s: float  # in this attempt
    may_yield: bool  # it has trained its turn, can be checkpointed, and nobody has asked it to stop
    devices: int = 1
    priority: int = 0


WAITING = text(
    f"""
    WITH RECURSIVE {turns.CONTENDERS}, {turns.HEADS}, {turns.USE}, {turns.FULL}
    SELECT h.id, h.pool, h.needs, h.project_id, h.owner_id, h.priority, coalesce(p.seconds, 0) AS project_use_s,
        coalesce(o.seconds, 0) AS use_s,
        extract(epoch FROM statement_timestamp() - h.queued_at)::float8 AS waited_s
    FROM head h {turns.scored("h")} WHERE NOT {turns.is_full("h")} ORDER BY h.pool, {turns.ORDER}
    """  # noqa: S608  pieces of SQL
)
HOLDERS = text(
    f"""
    WITH {turns.USE}
    SELECT DISTINCT ON (r.worker) r.id, r.attempt, r.pool, r.project_id, r.owner_id, r.priority,
        p.seconds AS project_use_s,
        o.seconds AS use_s, begun.trained_s, w.packages,
        coalesce(cast(w.device ->> 'count' AS integer), 1) AS devices,
        r.desired = 'run' AND r.yields_to IS NULL AND r.task IS NULL AND r.step > a.start_step
            AND w.state = 'busy' AND begun.trained_s >= cast(:turn_s AS float8)
            AND NOT EXISTS (SELECT FROM event e WHERE e.run_id = r.id AND e.kind = 'checkpoint_failed'
                AND e.at > a.started_at) AS may_yield
    FROM run r JOIN attempt a ON a.run_id = r.id AND a.attempt = r.attempt
    CROSS JOIN LATERAL (SELECT extract(epoch FROM statement_timestamp() - a.started_at)::float8 AS trained_s) begun
    LEFT JOIN worker w ON w.name = r.worker
    {turns.scored("r")}
    WHERE r.state = 'running' AND r.pool = ANY(cast(:pools AS text[]))
    ORDER BY r.worker, may_yield DESC, r.id
    """  # noqa: S608  pieces of SQL
)  # of runs that are trained together one: they share a worker, and make way together
SERVED = text(
    """
    SELECT yields_to FROM run WHERE yields_to = ANY(cast(:ids AS text[])) AND state IN ('running', 'queued')
    """
)
LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended('saddle preemption', 0))")
MAKE_WAY = text(
    """
    UPDATE run SET yields_to = :waiting
    WHERE id = :run_id AND attempt = :attempt AND state = 'running' AND desired = 'run' AND yields_to IS NULL
    """
)
PERSON = text("SELECT name FROM member WHERE id = :id")


def preempt(connection: Connection) -> list[tuple[Holder, Waiting]]:
    """Have runs make way for those that wait too long; return both of each. Another process may be at it: then none."""
    policy = turn_policy(connection)
    if not policy.preempt_after_s or not connection.execute(LOCK).scalar_one():
        return []
    names = turns.known_pools(connection)
    values = {"pools": names, **turns.parameters(connection)}
    waiting = [_waiting(row) for row in connection.execute(WAITING, values).mappings()]
    if not any(each.waited_s >= policy.preempt_after_s for each in waiting):
        return []
    served = set(connection.execute(SERVED, {"ids": [each.run_id for each in waiting]}).scalars())
    holders = [_holder(row) for row in connection.execute(HOLDERS, values).mappings()]
    chosen = choose(waiting, holders, served, pools(connection, names), policy.preempt_after_s)
    return [pair for pair in chosen if _make_way(connection, *pair)]


def choose(
    waiting: Sequence[Waiting],
    holders: Sequence[Holder],
    served: set[str],
    found: dict[str, Pool],
    preempt_after_s: float,
) -> list[tuple[Holder, Waiting]]:
    """Return which running run makes way for which; `waiting` in the order of turns, `served`: one is on its way.

    A worker that becomes free takes the first run that it can train. So none is freed for a run while another that
    it can train comes first.
    """
    chosen: list[tuple[Holder, Waiting]] = []
    first: list[Waiting] = []  # those that take a worker that becomes free, and may not have one freed
    left = list(holders)
    for each in waiting:
        if each.run_id in served or found[each.pool].has_idle(sorted(each.needs)):
            continue
        able = []
        if each.waited_s >= preempt_after_s:
            shares = _Shares(each.pool, waiting, left)
            able = [one for one in left if one.may_yield and _can_train(one, each) and shares.favour(one, each)]
            able = [one for one in able if not any(_can_train(one, other) for other in first)]
        if not able:
            first.append(each)
            continue
        victim = max(able, key=lambda one: (one.owner.project_use_s, one.owner.use_s, one.trained_s))
        chosen.append((victim, each))
        left.remove(victim)
        left.append(replace(victim, owner=each.owner, may_yield=False))  # who has it in a moment
    return chosen


def _can_train(holder: Holder, waiting: Waiting) -> bool:
    return holder.pool == waiting.pool and holder.has.issuperset(waiting.needs)


class _Shares:
    """Who holds more devices of a pool now than an equal share."""

    def __init__(self, pool: str, waiting: Sequence[Waiting], holders: Sequence[Holder]) -> None:
        held = [each for each in holders if each.pool == pool]
        self._projects, self._people = Counter[str](), Counter[tuple[str, str]]()
        for each in held:
            self._projects[each.owner.project_id] += each.devices
            self._people[each.owner.project_id, each.owner.owner_id] += each.devices
        somebody = [each.owner for each in held] + [each.owner for each in waiting if each.pool == pool]
        self._present = {(each.project_id, each.owner_id) for each in somebody}

    def favour(self, holder: Holder, waiting: Waiting) -> bool:
        """Whether the holder has more than its share, now and recently, and would not be the next one again."""
        mine, other = holder.owner, waiting.owner
        if mine.project_id != other.project_id:
            contenders = len({project for project, _ in self._present})
            above = self._projects[mine.project_id] * contenders > self._projects.total()
            return above and mine.project_use_s > FAVOURED * other.project_use_s
        if mine.owner_id == other.owner_id:
            return False
        colleagues = sum(project == mine.project_id for project, _ in self._present)
        above = self._people[mine.project_id, mine.owner_id] * colleagues > self._projects[mine.project_id]
        back = mine.use_s - holder.priority * PRIORITY_S > other.use_s - waiting.priority * PRIORITY_S
        return above and back and mine.use_s > FAVOURED * other.use_s


def _make_way(connection: Connection, holder: Holder, waiting: Waiting) -> bool:
    """Ask the run to make way, unless it has ended or was asked to stop; return whether it was asked."""
    values = {"run_id": holder.run_id, "attempt": holder.attempt, "waiting": waiting.run_id}
    if connection.execute(MAKE_WAY, values).rowcount == 0:
        return False
    who = "another project"
    data: dict[str, Any] = {"attempt": holder.attempt, "waited_s": round(waiting.waited_s, 1)}
    if waiting.owner.project_id == holder.owner.project_id:
        who = str(connection.execute(PERSON, {"id": waiting.owner.owner_id}).scalar_one())
        data["for"] = waiting.run_id
    why = f"preempted: {who} has waited {waiting.waited_s:.0f} s"
    events.add(connection, holder.run_id, "preempted", data, by="the queue", why=why)
    return True


def _somebody(row: RowMapping) -> Somebody:
    return Somebody(row["project_id"], row["owner_id"], row["project_use_s"], row["use_s"])


def _waiting(row: RowMapping) -> Waiting:
    needs = frozenset(with_devices(row["needs"]))
    return Waiting(row["id"], row["pool"], needs, _somebody(row), row["waited_s"], row["priority"])


def _holder(row: RowMapping) -> Holder:
    has = frozenset([*met_by(row["packages"] or {}), devices_need(row["devices"])])
    return Holder(
        run_id=row["id"],
        attempt=row["attempt"],
        pool=row["pool"],
        has=has,
        owner=_somebody(row),
        trained_s=row["trained_s"],
        may_yield=bool(row["may_yield"]),
        devices=row["devices"],
        priority=row["priority"],
    )
