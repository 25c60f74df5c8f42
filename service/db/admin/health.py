"""What the doctor asks Postgres."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class DatabaseHealth:
    """The state of the database server, as numbers."""

    migration: str | None
    now_s: float  # of Postgres's clock, seconds since 1970
    connections: int
    max_connections: int
    bytes: int
    oldest_transaction_s: float
    autovacuum: bool
    dead_fraction: float  # of the rows of the table with the most dead ones
    dead_table: str | None
    roles: list[str]  # of ours that exist


HEALTH = text(
    """
    SELECT extract(epoch FROM clock_timestamp())::float8 AS now_s,
        (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
        current_setting('max_connections')::int AS max_connections, pg_database_size(current_database()) AS bytes,
        coalesce((SELECT max(extract(epoch FROM clock_timestamp() - xact_start)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()), 0)::float8 AS oldest_transaction_s,
        current_setting('autovacuum') = 'on' AS autovacuum,
        coalesce((SELECT max(n_dead_tup::float8 / (n_live_tup + n_dead_tup)) FROM pg_stat_user_tables
            WHERE n_dead_tup > 100000), 0) AS dead_fraction,
        (SELECT relname FROM pg_stat_user_tables WHERE n_dead_tup > 100000
            ORDER BY n_dead_tup::float8 / (n_live_tup + n_dead_tup) DESC LIMIT 1) AS dead_table,
        (SELECT array_agg(rolname::text) FROM pg_roles WHERE starts_with(rolname, 'saddle_')) AS roles
    """
)
MIGRATED = text("SELECT to_regclass('alembic_version') IS NOT NULL")
MIGRATION = text("SELECT version_num FROM alembic_version")
WORKERS = text(
    """
    SELECT name, pool, version, state, detail, device ->> 'kind' AS device, clock_ahead_s,
        drain_since IS NOT NULL AS drained,
        extract(epoch FROM clock_timestamp() - beat_at)::float8 AS beat_s
    FROM worker WHERE state <> 'gone' ORDER BY name
    """
)
GRANTED = text(
    """
    SELECT has_table_privilege('saddle_api', 'experiment', 'INSERT') AND has_table_privilege('saddle_worker', 'attempt',
        'INSERT') AND NOT has_table_privilege('saddle_worker', 'api_key', 'SELECT')
        AND NOT has_table_privilege('saddle_api', 'metric_chunk', 'DELETE')
    """
)


def health(connection: Connection) -> DatabaseHealth:
    """Return the state of the server and of the schema."""
    row = connection.execute(HEALTH).mappings().one()
    migrated = connection.execute(MIGRATED).scalar_one()
    migration = connection.execute(MIGRATION).scalar() if migrated else None
    return DatabaseHealth(**{**row, "roles": row["roles"] or [], "migration": migration})


def granted(connection: Connection) -> bool:
    """Whether the roles have the rights of a deployment, told by a few of them."""
    return bool(connection.execute(GRANTED).scalar_one())


def workers(connection: Connection) -> list[Any]:
    """Return the workers that have not left, as rows."""
    return list(connection.execute(WORKERS))
