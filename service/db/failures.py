"""Errors of the database as our own: translated here, for every statement and connection.

Whoever opens a connection does so inside `translating`, so it makes no difference whether a statement went through
SQLAlchemy or straight through the driver. Everything that may pass by itself is `Unavailable`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

from service.errors import (
    Conflict,
    DatabaseBusy,
    DatabaseFull,
    DatabaseLocked,
    DatabaseReadOnly,
    DatabaseSlow,
    SaddleError,
    Unavailable,
)

AWAY = "The database does not answer; nothing was changed unless a later look shows it."
LOCKED = "Another transaction holds what this request needs; nothing was changed. Try again."
SLOW = "The database took too long over this request; nothing was changed. Try again, or ask for less."
BUSY = "Every connection to the database is in use; nothing was changed. Try again."
READ_ONLY = "The database takes no writes at the moment (a standby, or maintenance); nothing was changed."
FULL = "The database has no space left; nothing was changed. An operator has to make room."
MEANWHILE = "Something this request depends on was changed by another one meanwhile; nothing was changed. Try again."
BY_SQLSTATE: dict[str, tuple[type[SaddleError], str]] = {  # Postgres' manual, appendix A
    "55P03": (DatabaseLocked, LOCKED),  # lock_not_available
    "40P01": (DatabaseLocked, LOCKED),  # deadlock_detected
    "40001": (DatabaseLocked, LOCKED),  # serialization_failure
    "57014": (DatabaseSlow, SLOW),  # query_canceled: statement_timeout
    "25P03": (DatabaseSlow, SLOW),  # idle_in_transaction_session_timeout
    "25P04": (DatabaseSlow, SLOW),  # transaction_timeout
    "53300": (DatabaseBusy, BUSY),  # too_many_connections
    "25006": (DatabaseReadOnly, READ_ONLY),  # read_only_sql_transaction
    "53100": (DatabaseFull, FULL),  # disk_full
    "23503": (Conflict, MEANWHILE),  # foreign_key_violation
    "23505": (Conflict, MEANWHILE),  # unique_violation
    "23P01": (Conflict, MEANWHILE),  # exclusion_violation
}


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise errors of the driver and the pool as ours; the error of a wrong statement passes unchanged."""
    try:
        yield
    except NoFreeConnection as error:
        raise DatabaseBusy(BUSY) from error
    except (DBAPIError, psycopg.Error) as error:
        meant = translate(error.orig if isinstance(error, DBAPIError) else error)
        if meant is None:
            raise
        raise meant from error


def translate(error: BaseException | None) -> SaddleError | None:
    """Return our error for one of the driver; None for a statement that is wrong in itself."""
    known = BY_SQLSTATE.get(getattr(error, "sqlstate", None) or "")
    if known:
        return known[0](known[1])
    lost = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return Unavailable(AWAY) if lost else None
