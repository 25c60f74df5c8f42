"""Fill an empty database with the copies that `service.db.admin.dump` made, and make it ready for new workers."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from alembic import command
from psycopg import sql
from sqlalchemy import Connection, Engine, text

from service.db import rights
from service.db.admin.dump import LIMITLESS, TableCopy, cursor, names, tables
from service.db.runs import events
from service.db.session import alembic_config, newest_migration, transaction
from service.errors import Conflict
from service.lifecycle import State
from service.settings import Settings

PIECE = 1 << 20  # bytes sent at once
EMPTY = sql.SQL("SELECT NOT EXISTS (SELECT FROM {})")
FOREIGN_KEYS = text(
    """
    SELECT conrelid::regclass::text AS place, conname AS name, pg_get_constraintdef(oid) AS definition
    FROM pg_constraint WHERE contype = 'f' AND connamespace = 'public'::regnamespace
    """
)
SEQUENCES = text(
    """
    SELECT c.relname AS name, a.attname AS column FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attidentity <> ''
    """
)


def check_empty(engine: Engine) -> None:
    """Raise `Conflict` if the database holds anything."""
    with transaction(engine) as connection, cursor(connection) as reading:
        for name in tables(connection):
            if not reading.execute(EMPTY.format(sql.Identifier(name))).fetchone()[0]:
                raise Conflict(f"The database is not empty: the table {name} has rows. Restore into a new one.")


def make_schema(engine: Engine, url: str, migration: str) -> None:
    """Bring an empty database to a migration, which may be older than this release's."""
    if migration > newest_migration():
        raise Conflict(
            f"The backup is of migration {migration}, newer than this release ({newest_migration()}): "
            "restore it with the release that made it."
        )
    with transaction(engine) as connection:
        found = bool(tables(connection))
    if found:  # such as what an upgrade made; it holds nothing
        command.downgrade(alembic_config(url), "base")
    command.upgrade(alembic_config(url), migration)


def load(connection: Connection, folder: Path, copies: Mapping[str, TableCopy]) -> None:
    """Load every table, all in this transaction; foreign keys are checked once, at the end."""
    connection.execute(LIMITLESS)
    keys = connection.execute(FOREIGN_KEYS).all()
    with cursor(connection) as writing:
        for key in keys:
            writing.execute(f'ALTER TABLE {key.place} DROP CONSTRAINT "{key.name}"')
        for name in tables(connection):  # a migration may have written rows
            writing.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(name)))
        for name, copy in copies.items():
            _load(writing, name, copy, folder / name)
        for key in keys:
            writing.execute(f'ALTER TABLE {key.place} ADD CONSTRAINT "{key.name}" {key.definition}')
        for name, column in connection.execute(SEQUENCES).all():
            newest = sql.SQL(
                "SELECT setval(pg_get_serial_sequence({}, {}), greatest((SELECT max({}) FROM {}), 1), "
                "EXISTS (SELECT FROM {}))"
            )
            table = sql.Identifier(name)
            writing.execute(newest.format(sql.Literal(name), sql.Literal(column), sql.Identifier(column), table, table))


def _load(writing: Any, name: str, copy: TableCopy, path: Path) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(sql.Identifier(name), names(copy.columns))
    with path.open("rb") as file, writing.copy(statement) as sending:
        while piece := file.read(PIECE):
            sending.write(piece)
    if writing.rowcount != copy.rows:
        raise Conflict(f"The table {name} has {writing.rowcount} rows, the manifest says {copy.rows}.")


# Positions in the log of events hold ids of transactions, which are of the old server: all events become the oldest.
READERS = text(
    """
    UPDATE event_reader SET xid = 0, event_id = coalesce((SELECT max(e.id) FROM event e
        WHERE e.project_id = event_reader.project_id AND (e.xid, e.id) <= (event_reader.xid, event_reader.event_id)), 0)
    """
)
EVENTS = text("UPDATE event SET xid = 0")
WORKERS = text("DELETE FROM worker")  # those of the old deployment, and what was said about them
MOVE = text("UPDATE checkpoint SET folder = :root || '/' || substring(folder from '[^/]+/[^/]+/[^/]+$')")
LOSE = text(
    """
    UPDATE checkpoint SET damaged = true WHERE substring(folder from '[^/]+/[^/]+/[^/]+$') = ANY(:keys)
    RETURNING run_id
    """
)
FALL_BACK = text(
    """
    UPDATE run SET checkpoint_step = coalesce((SELECT max(c.step) FROM checkpoint c
        WHERE c.run_id = run.id AND NOT c.damaged AND c.removed_at IS NULL), origin_step)
    WHERE id = ANY(:ids) AND finished_at IS NULL
    """
)
REQUEUE = text(
    """
    WITH held AS (SELECT r.id, a.attempt, a.started_at, a.pack_runs, CASE r.desired WHEN 'cancel' THEN 'cancelled'
            WHEN 'pause' THEN 'paused' ELSE 'queued' END AS state
        FROM run r JOIN attempt a ON a.run_id = r.id AND a.attempt = r.attempt WHERE r.state = 'running'),
    ended AS (UPDATE attempt a SET ended_at = greatest(:made_at, a.started_at), ending = 'drained',
            detail = 'restored from a backup'
        FROM held h WHERE a.run_id = h.id AND a.attempt = h.attempt)
    UPDATE run r SET state = h.state, lease = NULL, desired = 'run', not_before = clock_timestamp(), yields_to = NULL,
        trained_s = r.trained_s + extract(epoch FROM greatest(:made_at, h.started_at) - h.started_at) / h.pack_runs,
        finished_at = CASE WHEN h.state = 'cancelled' THEN clock_timestamp() END
    FROM held h WHERE r.id = h.id RETURNING r.id, r.state
    """
)


def detach(connection: Connection, root: str, missing: list[str]) -> None:
    """Forget what was of the old server; checkpoints are below `root` now, but for the `missing` ones."""
    for statement in (READERS, EVENTS, WORKERS):
        connection.execute(statement)
    connection.execute(MOVE, {"root": root})
    if missing:
        lost = list(connection.execute(LOSE, {"keys": missing}).scalars())
        connection.execute(FALL_BACK, {"ids": lost})


def finish(engine: Engine, settings: Settings, made_at: datetime) -> int:
    """Migrate to this release, grant rights, and queue again what trained; return how many runs did."""
    command.upgrade(alembic_config(settings.database_url), "head")
    with transaction(engine) as connection:
        rights.grant(connection, settings)
        found = connection.execute(REQUEUE, {"made_at": made_at}).all()
        for state in State:
            if ids := [row.id for row in found if row.state == state.value]:
                why = "restored from a backup"
                events.add_many(connection, ids, "state", {"state": state.value}, by="restore", why=why)
    return len(found)
