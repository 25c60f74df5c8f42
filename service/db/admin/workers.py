"""Workers with what they train, in whichever project, and draining one."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from service.db.access import audit
from service.db.access.principal import Principal
from service.errors import NotFound


@dataclass(frozen=True)
class BusyWorker:
    """A worker, what it trains, and since when and by whose wish it takes no more runs."""

    name: str
    pool: str
    host: str
    version: str
    device: dict[str, Any]
    state: str
    detail: str | None
    beat_s: float
    drain_since: datetime | None
    drain_by: str | None
    run_id: str | None
    experiment_id: str | None
    experiment: str | None
    project: str | None
    member: str | None
    step: int | None
    total_steps: int | None


WORKERS = text(
    """
    SELECT w.name, w.pool, w.host, w.version, w.device, w.state, w.detail, w.drain_since, w.drain_by,
        greatest(0, extract(epoch FROM clock_timestamp() - w.beat_at))::float8 AS beat_s,
        r.id AS run_id, e.id AS experiment_id, e.name AS experiment, p.name AS project, m.name AS member,
        r.step, r.total_steps
    FROM worker w LEFT JOIN run r ON r.id = w.run_id AND r.state = 'running'
    LEFT JOIN experiment e ON e.id = r.experiment_id LEFT JOIN project p ON p.id = r.project_id
    LEFT JOIN member m ON m.id = r.owner_id
    WHERE cast(:name AS text) IS NULL OR w.name = :name
    ORDER BY w.state = 'gone', w.pool, w.name
    """
)


def list_busy(connection: Connection, name: str | None = None) -> list[BusyWorker]:
    """Return every worker that has ever registered, or the one of this name; those that have left are last."""
    return [BusyWorker(**row) for row in connection.execute(WORKERS, {"name": name}).mappings()]


DRAIN = text(
    "UPDATE worker SET drain_since = clock_timestamp(), drain_by = :by WHERE name = :name AND drain_since IS NULL"
)
UNDRAIN = text("UPDATE worker SET drain_since = NULL, drain_by = NULL WHERE name = :name AND drain_since IS NOT NULL")


def set_drain(connection: Connection, principal: Principal, name: str, drain: bool) -> BusyWorker:
    """Have a worker take no more runs, or take them again; `NotFound` without one of this name. Repeating is no change.

    It holds until it is revoked, also for a worker that starts again under the same name.
    """
    statement, given = (DRAIN, {"name": name, "by": principal.member}) if drain else (UNDRAIN, {"name": name})
    if connection.execute(statement, given).rowcount:
        audit.record(connection, principal, "worker.drain" if drain else "worker.undrain", name)
    found = list_busy(connection, name)
    if not found:
        raise NotFound("There is no worker of this name: GET /v1/admin/workers lists them.")
    return found[0]
