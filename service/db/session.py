"""Engines and transactions from a URL, and whether the schema is the one this program expects."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import InterfaceError, OperationalError

from service.errors import SchemaMismatch, Unavailable
from service.nonfinite import dumps

ROOT = Path(__file__).resolve().parents[2]
LOST = (OperationalError, InterfaceError)  # the server went away, or a time-out


def make_engine(url: str, *, pool_size: int = 10, name: str = "saddle", statement_s: float = 30) -> Engine:
    """An engine whose statements give up after `statement_s`, and whose dead connections are noticed within 20 s."""
    options = f"-c statement_timeout={int(statement_s * 1000)} -c lock_timeout=10000 -c idle_in_transaction_session_timeout=60000"
    return create_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=5,
        pool_pre_ping=True,
        json_serializer=dumps,
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


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """A transaction that commits at the end; `Unavailable` where the database does not answer."""
    try:
        with engine.begin() as connection:
            yield connection
    except LOST as error:
        raise Unavailable("The database does not answer; nothing was changed unless a later look shows it.") from error


def alembic_config(url: str) -> Config:
    """Alembic's configuration: the one in pyproject.toml, with the database that is meant."""
    config = Config(toml_file=str(ROOT / "pyproject.toml"))
    config.attributes["url"] = url
    return config


def check_schema(engine: Engine) -> None:
    """Raise `SchemaMismatch` unless the database stands at this program's newest migration."""
    expected = ScriptDirectory.from_config(alembic_config("")).get_current_head()
    with transaction(engine) as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found != expected:
        raise SchemaMismatch(
            f"The database is at migration {found or 'none'}, this program expects {expected}: "
            "run `python -m service.db upgrade`, or start the matching release."
        )
