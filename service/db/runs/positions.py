"""The positions of waiting runs, in the order in which they are expected to start, and why they wait.

The order of turns depends on what runs will have used by then. It is estimated as if each took the mean time of the
newest succeeded runs: the nth run of a person, and of a project, waits for n - 1 of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any

from sqlalchemy import Connection, text

from service.db.runs import turns
from service.db.runs.pools import Pool, pools
from service.db.session import every_project
from service.spec.requirements import describe_need


@dataclass(frozen=True)
class QueuePosition:
    """The position of a waiting run: how many runs of its pool come before it, and why it has not started."""

    before: int
    reason: str


TYPICAL_RUNS = 50  # the newest succeeded ones, whose mean is what a waiting run is expected to take
PLACES = f"""
    WITH {turns.USE}, {turns.FULL},
    slot AS (SELECT coalesce(avg(trained_s), cast(:turn_s AS float8)) AS seconds FROM (
        SELECT trained_s FROM run WHERE state = 'succeeded' AND experiment_id IS NOT NULL
        ORDER BY experiment_id DESC LIMIT {TYPICAL_RUNS}) recent),
    waiting AS (
        SELECT r.id, r.pool, r.needs, r.project_id, r.owner_id, r.experiment_id, r.seed, r.priority, r.rank_at,
            r.queued_at, r.not_before, r.yields_to, slot.seconds, {turns.project_score("r")} AS project_score,
            {turns.person_score("r")} + slot.seconds
                * row_number() OVER (PARTITION BY r.pool, r.project_id, r.owner_id ORDER BY r.rank_at, r.id) AS score
        FROM run r CROSS JOIN slot {turns.scored("r")}
        WHERE r.state = 'queued' AND r.pool = ANY(cast(:pools AS text[]))),
    by_person AS (
        SELECT *, max(score) OVER (PARTITION BY pool, project_id, owner_id ORDER BY rank_at, id) AS person_score
        FROM waiting),
    by_project AS (
        SELECT *, project_score + seconds
            * row_number() OVER (PARTITION BY pool, project_id ORDER BY person_score, rank_at, id) AS tag
        FROM by_person),
    placed AS (
        SELECT *, row_number() OVER (PARTITION BY pool ORDER BY tag, project_id, person_score, rank_at, id) - 1 AS before
        FROM by_project)
"""  # noqa: E501, S608
POSITIONS = text(
    f"""{PLACES}
    SELECT id, pool, needs, before, yields_to IS NOT NULL AS preempted, {turns.is_full("placed")} AS full_quota,
        CASE WHEN not_before > clock_timestamp() THEN not_before END AS not_before
    FROM placed WHERE id = ANY(cast(:ids AS text[]))
    """  # noqa: S608  pieces of SQL
)
POOLS_OF = text("SELECT DISTINCT pool FROM run WHERE id = ANY(cast(:ids AS text[])) AND state = 'queued' ORDER BY pool")


def positions(connection: Connection, ids: Sequence[str]) -> dict[str, QueuePosition]:
    """Return the positions of the waiting runs among these, if all runs take about as long as those of late."""
    names = list(connection.execute(POOLS_OF, {"ids": list(ids)}).scalars())
    if not names:
        return {}
    with every_project(connection):  # they wait for runs of others too
        given = {"ids": list(ids), "pools": names, **turns.parameters(connection)}
        rows, found = connection.execute(POSITIONS, given).all(), pools(connection, names)
    return {row.id: QueuePosition(row.before, _reason(row, found[row.pool])) for row in rows}


def _reason(row: Any, pool: Pool) -> str:
    if row.not_before is not None:
        until = row.not_before.astimezone(UTC) + timedelta(seconds=1)
        return f"backing off after a failure until {until:%Y-%m-%dT%H:%M:%SZ}"
    if why := pool.why_not_served() or pool.why_not_built(row.needs):
        return why
    if row.full_quota:
        return "a quota of its project or its owner is used up: running runs, or device hours of this month"
    if row.preempted:
        return "it makes way for a run that has waited longer, and goes on from its checkpoint when its turn comes"
    ahead = "1 run is before it" if row.before == 1 else f"{row.before} runs are before it"
    if not pool.has_idle(row.needs):
        able = f" that has {', '.join(map(describe_need, row.needs))}" if pool.idle and row.needs else ""
        busy = f"every worker of pool {pool.name}{able} is busy"
        return f"{busy}, and {ahead}" if row.before else busy
    if row.before:
        return ahead
    too_little = pool.why_too_little_memory(row.needs)
    return f"it waits for memory of a shared GPU: {too_little}" if too_little else "it is about to start"


@dataclass(frozen=True)
class NextRun:
    """A waiting run of a project, in the order in which runs are expected to start."""

    pool: str
    run_id: str
    experiment_id: str
    experiment: str
    project: str
    owner: str
    seed: int
    priority: int
    before: int
    waited_s: float


NEXT_RUNS = text(
    f"""{PLACES}
    SELECT placed.pool, placed.id AS run_id, e.id AS experiment_id, e.name AS experiment, project.name AS project,
        member.name AS owner,
        placed.seed, placed.priority, placed.before,
        extract(epoch FROM statement_timestamp() - placed.queued_at)::float8 AS waited_s
    FROM placed JOIN experiment e ON e.id = placed.experiment_id JOIN member ON member.id = placed.owner_id
    JOIN project ON project.id = placed.project_id
    WHERE cast(:project_id AS text) IS NULL OR placed.project_id = cast(:project_id AS text)
    ORDER BY placed.pool, placed.before LIMIT :most
    """  # noqa: S608  pieces of SQL
)


def next_runs(connection: Connection, names: Sequence[str], project_id: str | None, most: int) -> list[NextRun]:
    """Return the first waiting runs of a project in these pools; of all projects if `project_id` is None."""
    given = {"pools": list(names), "project_id": project_id, "most": most}
    rows = connection.execute(NEXT_RUNS, given | turns.parameters(connection)).mappings()
    return [NextRun(**row) for row in rows]
