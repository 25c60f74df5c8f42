"""The workers' own reports of their state, shown to users; pools are the only other reader."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, text

from service.db.access.principal import Principal
from service.db.driver import Statement
from service.nonfinite import dumps


@dataclass(frozen=True)
class StoredWorker:
    """A row of a worker; `beat_s` is the age of its last heartbeat by Postgres's clock."""

    name: str
    pool: str
    host: str
    pid: int
    version: str
    device: dict[str, Any]
    packages: dict[str, str]
    state: str
    detail: str | None
    run_id: str | None
    started_at: datetime
    beat_s: float
    drain_since: datetime | None


ANNOUNCE = text(
    """
    INSERT INTO worker (name, pool, host, pid, version, device, packages)
    VALUES (:name, :pool, :host, :pid, :version, cast(:device AS jsonb), cast(:packages AS jsonb))
    ON CONFLICT (name) DO UPDATE SET pool = excluded.pool, host = excluded.host, pid = excluded.pid,
        version = excluded.version, device = excluded.device, packages = excluded.packages,
        state = 'starting', detail = NULL, run_id = NULL,
        started_at = clock_timestamp(), beat_at = clock_timestamp()
    """
)
BEAT = text(
    """
    UPDATE worker SET run_id = :run_id, detail = :detail, beat_at = clock_timestamp(),
        clock_ahead_s = :clock_s - extract(epoch FROM clock_timestamp()),
        state = CASE WHEN drain_since IS NULL THEN :state WHEN :state = 'idle' THEN 'drained'
            WHEN :state = 'busy' THEN 'draining' ELSE :state END
    WHERE name = :name RETURNING drain_since IS NOT NULL
    """
)
LISTING = Statement(
    text(
        """
        SELECT worker.name, worker.pool, host, pid, version, device, packages, worker.state, detail, own.id,
            worker.started_at, greatest(0, extract(epoch FROM clock_timestamp() - beat_at))::float8, drain_since
        FROM worker LEFT JOIN run AS own ON own.id = worker.run_id AND own.project_id = :project_id
        ORDER BY worker.pool, worker.name
        """
    )
)


def announce(
    connection: Connection,
    name: str,
    pool: str,
    host: str,
    pid: int,
    version: str,
    device: Mapping[str, Any],
    packages: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Register a starting worker; `device` is {kind, name, memory_bytes, threads}, `packages` name -> version."""
    row = {"name": name, "pool": pool, "host": host, "pid": pid, "version": version}
    connection.execute(ANNOUNCE, row | {"device": dumps(dict(device)), "packages": dumps(dict(packages))})


def beat(connection: Connection, name: str, state: str, run_id: str | None = None, detail: str | None = None) -> bool:
    """Report the state: starting, idle, busy (with a run), draining, unhealthy (with the reason) or gone.

    Return whether it shall take no more runs; it is then shown as draining while it has one, and as drained after.
    The `detail` of an idle worker is the memory that is free on a device it shares.
    """
    row = {"name": name, "state": state, "run_id": run_id, "detail": detail, "clock_s": time.time()}
    return bool(connection.execute(BEAT, row).scalar_one_or_none())


def list_all(connection: Connection, principal: Principal) -> list[StoredWorker]:
    """Return every worker that has ever registered, by pool and name, without the runs of other projects."""
    return [StoredWorker(*row) for row in LISTING.rows(connection, project_id=principal.project_id)]
