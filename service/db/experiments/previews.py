"""Previews: jobs that draw augmented samples of a spec before it is submitted, so they belong to no experiment.

A person has one that waits, at most: whoever changes a list of augmentations asks again and again.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from service.db.access.principal import Principal
from service.db.runs import events
from service.db.runs.queue import NewRun, Origin, enqueue
from service.errors import NotFound
from service.lifecycle import Relation, State

LIMIT_S = 600.0  # of a device; the first look at an upload decodes all its images
SUPERSEDE = text(
    """
    UPDATE run SET state = 'cancelled', finished_at = clock_timestamp(), desired = 'run'
    WHERE owner_id = :owner_id AND task ? 'spec' AND state = 'queued' RETURNING id
    """
)
GO_FIRST = text("UPDATE run SET rank_at = rank_at - make_interval(years => 1) WHERE id = :id")
GET = text(
    """
    SELECT r.state, r.failure ->> 'detail' AS failure, g.data
    FROM run r LEFT JOIN reading g ON g.run_id = r.id AND g.attempt = r.attempt AND g.kind = :kind
    WHERE r.id = :id AND r.project_id = :project_id AND r.task ? 'spec'
    """
)


@dataclass(frozen=True)
class Preview:
    """A preview: the state of its job, and what it found, or why it failed."""

    state: State
    found: dict[str, Any] | None
    failure: str | None


def ask(connection: Connection, principal: Principal, made: NewRun) -> str:
    """Queue a preview before all other runs of its person, and cancel the one that still waits; return its id.

    Whose turn it is does not change.
    """
    superseded = list(connection.execute(SUPERSEDE, {"owner_id": principal.member_id}).scalars())
    if superseded:
        data, why = {"state": State.CANCELLED.value}, "another preview was asked for"
        events.add_many(connection, superseded, "state", data, by=principal.member, why=why)
    job_id = enqueue(connection, principal, [made])[0].id
    connection.execute(GO_FIRST, {"id": job_id})
    return job_id


def new_job(seed: int, fold: int | None, pool: str, needs: list[str], spec: dict[str, Any]) -> NewRun:
    """Return the job that previews the run of this seed; it computes on the host, so it takes no memory of a device."""
    return NewRun(
        experiment_id=None,
        seed=seed,
        fold=fold,
        total_steps=0,
        pool=pool,
        limit_s=LIMIT_S,
        origin=Origin(None, Relation.PREVIEW),
        task={"probes": [], "spec": spec},
        needs=needs,
        memory_bytes=0,
    )


def get(connection: Connection, principal: Principal, job_id: str, kind: str) -> Preview:
    """Return a preview of the project, and its reading of this kind; `NotFound` once it was deleted."""
    values = {"id": job_id, "project_id": principal.project_id, "kind": kind}
    row = connection.execute(GET, values).one_or_none()
    if row is None:
        raise NotFound(f"There is no preview {job_id}: one is kept for a week.")
    return Preview(State(row.state), row.data, row.failure)
