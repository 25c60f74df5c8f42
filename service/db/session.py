"""Engines and transactions from a URL, and whether the schema is the one this program expects."""

import select
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DisconnectionError, ProgrammingError

from service.db.failures import translate_errors
from service.errors import SchemaMismatch
from service.nonfinite import dumps
from service.turn_policy import DEFAULT_POLICY, TurnPolicy

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = [
    "Connection",
    "Engine",
    "alembic_config",
    "autocommit",
    "check_schema",
    "every_project",
    "fetch_binary",
    "make_engine",
    "newest_migration",
    "snapshot",
    "transaction",
    "turn_policy",
]
TURNS = "turns"  # the execution option with the policy
ROOT = Path(__file__).resolve().parents[2]
EVERY_PROJECT = ""  # of the setting saddle.project: row policies hold nothing back
NO_PROJECT = "none"  # of it: they hold every row of a project back
PROJECT = "saddle.project"  # in a connection's info: what the setting is; None: not known


def make_engine(
    url: str,
    *,
    pool_size: int = 10,
    name: str = "saddle",
    statement_s: float = 30,
    plan_once: bool = False,
    turns: TurnPolicy = DEFAULT_POLICY,
) -> Engine:
    """An engine whose statements give up after `statement_s`, and whose dead connections are noticed within 20 s.

    `turns` is how runs take turns in statements of this engine.
    `plan_once`: for statements by key, a plan that is kept is as good as one made for each set of values.
    """
    limits: dict[str, object] = {
        "statement_timeout": int(statement_s * 1000),
        "lock_timeout": 10_000,
        "idle_in_transaction_session_timeout": 60_000,
    }
    if plan_once:
        limits["plan_cache_mode"] = "force_generic_plan"
    options = " ".join(f"-c {name}={value}" for name, value in limits.items())
    engine = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=5,
        json_serializer=dumps,
        json_deserializer=from_json,  # a tenth of the time of json.loads, and the same values
        execution_options={TURNS: turns},
        connect_args={
            "options": options,
            "application_name": name,
            "connect_timeout": 5,
            "keepalives_idle": 5,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 20_000,
        },
    )
    event.listen(engine, "checkout", _refuse_closed)
    event.listen(engine, "rollback", _forget_project)
    return engine


def _refuse_closed(connection: Any, *_: object) -> None:
    """Make the pool replace a connection that Postgres, or the keepalive, has closed.

    Without a round trip, which a ping would cost: nothing arrives on an idle connection until it is closed.
    """
    if not connection.closed:
        arrivals = select.poll()
        arrivals.register(connection.pgconn.socket, select.POLLIN)
        if not arrivals.poll(0):
            return
    raise DisconnectionError("The connection was closed while it was idle.")


def close_engine(engine: Engine) -> None:
    """Close the connections of an engine: the idle ones now, one that a thread still uses when it is returned.

    `Engine.dispose` alone forgets those in use, which then stay open until Python's collector finds them.
    """
    event.listen(engine, "checkin", _close_returned)
    engine.dispose()


def _close_returned(_: object, record: Any) -> None:
    record.invalidate()


def turn_policy(connection: Connection) -> TurnPolicy:
    """Return how runs take turns, as the engine of this connection was told."""
    found: TurnPolicy = connection.get_execution_options().get(TURNS, DEFAULT_POLICY)
    return found


@contextmanager
def transaction(engine: Engine, project_id: str = EVERY_PROJECT) -> Iterator[Connection]:
    """A transaction that commits at the end; what the database refuses is raised as one of our errors.

    With a `project_id` its statements find and write no row of another project, whatever they ask for.
    """
    with translate_errors(), engine.begin() as connection:
        see_only(connection, project_id)
        yield connection


@contextmanager
def autocommit(engine: Engine, project_id: str = EVERY_PROJECT) -> Iterator[Connection]:
    """Open a connection without a transaction, for single reads: no BEGIN and COMMIT, two round trips fewer."""
    with translate_errors(), engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        see_only(connection, project_id)
        yield connection


def see_only(connection: Connection, project_id: str) -> None:
    """Have Postgres's row policies (migration 0028) hold this connection to one project, or to none.

    The setting stays with the connection, so that it costs a statement only where the project changes.
    """
    if connection.info.get(PROJECT, EVERY_PROJECT) != project_id:
        connection.execute(text("SELECT set_config('saddle.project', :project_id, false)"), {"project_id": project_id})
        connection.info[PROJECT] = project_id


@contextmanager
def every_project(connection: Connection) -> Iterator[None]:
    """Let statements reach every project, for what is counted across projects; an error breaks the transaction."""
    before = connection.info.get(PROJECT, EVERY_PROJECT)
    see_only(connection, EVERY_PROJECT)
    yield
    see_only(connection, before)


def _forget_project(connection: Connection) -> None:
    """A rollback takes the setting back too, if it was made in the transaction.

    A connection that broke has no information any more, and to ask for it raises; the next one starts without.
    """
    if connection.invalidated:
        return
    if PROJECT in connection.info and connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        connection.info[PROJECT] = None


def fetch_binary(connection: Connection, query: str, given: Mapping[str, Any]) -> list[Any]:
    """Return rows straight from the driver in binary: arrays and bytes at half the size, plain tuples."""
    driver: Any = connection.connection.driver_connection
    with driver.cursor(binary=True) as cursor:
        found: list[Any] = cursor.execute(query, given).fetchall()
    return found


@contextmanager
def snapshot(engine: Engine, project_id: str = EVERY_PROJECT) -> Iterator[Connection]:
    """A transaction that only reads, and sees one moment however many statements it makes."""
    reading = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with transaction(reading, project_id) as reader:
        yield reader


def alembic_config(url: str) -> "Config":
    """Alembic's configuration: the one in pyproject.toml, with the database that is meant."""
    from alembic.config import Config  # noqa: PLC0415  a third of the import time of what never migrates

    config = Config(toml_file=str(ROOT / "pyproject.toml"))
    config.attributes["url"] = url
    return config


def newest_migration() -> str:
    """The revision this program expects: migrations are one line, numbered in their file names."""
    return max(path.name[:4] for path in (ROOT / "migrations" / "versions").glob("[0-9]*.py"))


def check_schema(engine: Engine) -> None:
    """Raise `SchemaMismatch` unless the database stands at this program's newest migration."""
    expected, found = newest_migration(), None
    try:
        with transaction(engine) as connection:
            found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    except ProgrammingError:  # no such table: nothing was ever migrated
        found = None
    if found != expected:
        raise SchemaMismatch(
            f"The database is at migration {found or 'none'}, this program expects {expected}: "
            "run `python -m service.db upgrade`, or start the matching release."
        )
