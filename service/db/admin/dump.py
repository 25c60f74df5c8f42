"""A copy of every table in one snapshot, as files of Postgres's binary COPY format.

It needs no program of Postgres, so it works wherever the service does; the schema is that of a migration, which a
restore makes anew. Training goes on meanwhile.
"""

import hashlib
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from psycopg import sql
from sqlalchemy import Connection, text

TABLES = text(
    """
    SELECT c.relname AS name, array_agg(a.attname ORDER BY a.attnum) AS columns
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname <> 'alembic_version'
        AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    GROUP BY c.relname ORDER BY c.relname
    """
)
LIMITLESS = text("SET LOCAL idle_in_transaction_session_timeout = 0")


@dataclass(frozen=True)
class TableCopy:
    """The copy of a table: its columns in their order, and what its file must be."""

    columns: list[str]
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class NamedCheckpoint:
    """A checkpoint that a row names; `needed`: an open run starts from it next."""

    folder: str
    sha256: str
    size_bytes: int
    needed: bool


def tables(connection: Connection) -> dict[str, list[str]]:
    """Return every table of the schema with its columns."""
    return {row.name: list(row.columns) for row in connection.execute(TABLES)}


def dump_tables(connection: Connection, folder: Path) -> dict[str, TableCopy]:
    """Copy every table into a file of its name, within the snapshot of this transaction."""
    connection.execute(LIMITLESS)
    return {name: _dump(connection, name, columns, folder / name) for name, columns in tables(connection).items()}


def _dump(connection: Connection, name: str, columns: list[str], path: Path) -> TableCopy:
    statement = sql.SQL("COPY {} ({}) TO STDOUT (FORMAT binary)").format(sql.Identifier(name), names(columns))
    digest, size = hashlib.sha256(), 0
    with cursor(connection) as reading, path.open("xb") as file:
        with reading.copy(statement) as copy:
            for piece in copy:
                digest.update(piece)
                size += file.write(piece)
        file.flush()
        os.fsync(file.fileno())
        return TableCopy(columns, max(reading.rowcount, 0), size, digest.hexdigest())


def cursor(connection: Connection) -> Any:
    """Return a cursor of the driver, which alone can COPY."""
    driver: Any = connection.connection.driver_connection
    return driver.cursor()


def names(columns: list[str]) -> sql.Composed:
    """Return names as a list in SQL."""
    return sql.SQL(", ").join(map(sql.Identifier, columns))


VERSIONS = text(
    "SELECT (SELECT version_num FROM alembic_version) AS migration, current_setting('server_version') AS server,"
    " clock_timestamp() AS now"
)
UPLOADS = text("SELECT DISTINCT sha256, size_bytes FROM dataset ORDER BY sha256")
CHECKPOINTS = text(
    """
    SELECT c.folder, c.sha256, c.size_bytes, r.checkpoint_step = c.step AND r.finished_at IS NULL AS needed
    FROM checkpoint c JOIN run r ON r.id = c.run_id WHERE c.removed_at IS NULL AND NOT c.damaged
    ORDER BY needed DESC, c.created_at DESC
    """
)


def versions(connection: Connection) -> tuple[str, str, datetime]:
    """Return the migration of the database, the version of Postgres, and its time."""
    row = connection.execute(VERSIONS).one()
    return row.migration, row.server, row.now


def named_uploads(connection: Connection) -> dict[str, int]:
    """Return the hashes of the uploads that rows name, with their sizes."""
    return {row[0]: row[1] for row in connection.execute(UPLOADS)}


def named_checkpoints(connection: Connection) -> list[NamedCheckpoint]:
    """Return the checkpoints that rows name, first those that open runs start from."""
    return [NamedCheckpoint(**row) for row in connection.execute(CHECKPOINTS).mappings()]
