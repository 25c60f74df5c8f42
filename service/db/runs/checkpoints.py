"""Queries of checkpoints: of a run, to start from, to compare with, and orphaned folders. Leases write them."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, text

from service.db.access.principal import Principal
from service.db.runs import runs
from service.db.tables import checkpoint
from service.errors import NotFound


@dataclass(frozen=True)
class StoredCheckpoint:
    """A row of a checkpoint; `removed_at` is set once it is no longer kept."""

    run_id: str
    attempt: int
    step: int
    reason: str
    value: float | None
    folder: str
    sha256: str
    size_bytes: int
    damaged: bool
    created_at: datetime
    removed_at: datetime | None


COLUMNS = [checkpoint.c[name] for name in StoredCheckpoint.__dataclass_fields__]
MAX_LISTED = 1000  # checkpoints of one run


def of_run(connection: Connection, principal: Principal, run_id: str) -> list[StoredCheckpoint]:
    """Return the checkpoints of a run, removed ones too, newest first."""
    runs.get(connection, principal, run_id)
    query = select(*COLUMNS).where(checkpoint.c.run_id == run_id)
    query = query.order_by(checkpoint.c.step.desc(), checkpoint.c.attempt.desc()).limit(MAX_LISTED)
    return [StoredCheckpoint(**row) for row in connection.execute(query).mappings()]


def get_at(connection: Connection, principal: Principal, run_id: str, step: int) -> StoredCheckpoint:
    """Return the newest good checkpoint at a step; `NotFound` lists the steps that have one."""
    found = of_run(connection, principal, run_id)
    kept = [each for each in found if each.removed_at is None and not each.damaged]
    for each in kept:
        if each.step == step:
            return each
    former = [each for each in found if each.step == step]
    what = f"There is no checkpoint at step {step}"
    if former:
        damaged = any(each.damaged for each in former)
        what = f"The checkpoint at step {step} " + ("is damaged" if damaged else "is no longer kept")
    steps = ", ".join(str(number) for number in sorted({each.step for each in kept})) or "none"
    raise NotFound(f"{what}; steps with a checkpoint: {steps}.")


ENDED_ATTEMPTS = text(
    """
    SELECT run_id || '/a' || attempt || '-' || left(lease, 8) FROM attempt
    WHERE run_id = ANY(:run_ids) AND ended_at IS NOT NULL
    """
)
STORED_FOLDERS = text("SELECT folder FROM checkpoint WHERE run_id = ANY(:run_ids) AND removed_at IS NULL")
BATCH_RUNS = 500  # runs per statement


def find_orphans(connection: Connection, keys: Iterable[str]) -> list[str]:
    """Return the `keys` (<run>/a<attempt>-<lease>/<folder>) without a row whose attempt has ended.

    List the disk before calling this: an ended attempt adds no rows. Keys of attempts that this database does not know
    are left out, because they may belong to another database.
    """
    by_run: dict[str, list[str]] = {}
    for key in keys:
        by_run.setdefault(key.split("/", 1)[0], []).append(key)
    found: list[str] = []
    for first in range(0, len(by_run), BATCH_RUNS):
        run_ids = list(by_run)[first : first + BATCH_RUNS]
        ended = set(connection.execute(ENDED_ATTEMPTS, {"run_ids": run_ids}).scalars())
        stored = _keys(connection.execute(STORED_FOLDERS, {"run_ids": run_ids}).scalars().all())
        found += [
            key for run_id in run_ids for key in by_run[run_id] if key not in stored and key.rpartition("/")[0] in ended
        ]
    return found


def _keys(locations: Sequence[str]) -> set[str]:
    return {"/".join(location.rstrip("/").split("/")[-3:]) for location in locations}


PARENT_CHECKPOINTS = text(
    """
    SELECT DISTINCT ON (c.step) c.step, c.folder, c.sha256, c.size_bytes, c.reason, c.value
    FROM run r JOIN checkpoint c ON c.run_id = r.parent_run_id
    WHERE r.id = :run_id AND NOT c.damaged AND c.removed_at IS NULL ORDER BY c.step, c.attempt DESC
    """
)
OTHER_CHECKPOINT = text(
    """
    SELECT c.step, c.folder, c.sha256, c.size_bytes, c.reason, c.value
    FROM run r JOIN run o ON o.project_id = r.project_id JOIN checkpoint c ON c.run_id = o.id
    WHERE r.id = :run_id AND o.id = :other AND NOT c.damaged AND c.removed_at IS NULL
        AND (cast(:step AS bigint) IS NULL OR c.step = :step)
    ORDER BY c.step DESC, c.attempt DESC LIMIT 1
    """
)


def reference_checkpoints(connection: Connection, run_id: str, task: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the checkpoints a probe compares with: `kept` of its parent, oldest first, and one `other`."""
    found: dict[str, list[Any]] = {}
    for probe in task["probes"]:
        if probe["kind"] == "trajectory":
            found["kept"] = list(connection.execute(PARENT_CHECKPOINTS, {"run_id": run_id}))
        elif probe["kind"] == "line" and probe.get("run"):
            values = {"run_id": run_id, "other": probe["run"], "step": probe.get("step")}
            found["other"] = list(connection.execute(OTHER_CHECKPOINT, values))
    return found


USABLE = text(
    """
    SELECT DISTINCT ON (step) attempt, step, reason FROM checkpoint
    WHERE run_id = :run_id AND NOT damaged AND removed_at IS NULL ORDER BY step DESC, attempt DESC
    """
)


@dataclass(frozen=True)
class CheckpointKey:
    """The key of a usable checkpoint within its run."""

    attempt: int
    step: int
    reason: str


def usable(connection: Connection, run_id: str) -> list[CheckpointKey]:
    """Return the checkpoints that a run can start from, newest first."""
    return [CheckpointKey(row.attempt, row.step, row.reason) for row in connection.execute(USABLE, {"run_id": run_id})]


STATES = text(
    """
    SELECT u.run_id, u.step FROM unnest(cast(:run_ids AS text[]), cast(:steps AS bigint[])) AS u(run_id, step)
    WHERE EXISTS (
        SELECT 1 FROM run r JOIN checkpoint c ON c.run_id = r.id
        WHERE r.id = u.run_id AND r.project_id = :project_id AND NOT c.damaged AND c.removed_at IS NULL
            AND (u.step IS NULL OR c.step = u.step))
    """
)
RunState = tuple[str, int | None]  # a run and a step of it; None: any


def find_usable(connection: Connection, principal: Principal, states: Collection[RunState]) -> set[RunState]:
    """Return the states, of runs of this project, that have a usable checkpoint."""
    values = {"run_ids": [run_id for run_id, _ in states], "steps": [step for _, step in states]}
    rows = connection.execute(STATES, values | {"project_id": principal.project_id})
    return {(row.run_id, row.step) for row in rows}
