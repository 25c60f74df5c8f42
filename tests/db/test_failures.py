"""What the driver raises becomes one of our errors, by its SQLSTATE; a wrong statement stays what it is."""

import pytest
from psycopg import errors
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, ProgrammingError, TimeoutError

from service.db.failures import BY_SQLSTATE, translate, translate_errors
from service.db.session import snapshot, transaction
from service.errors import (
    Conflict,
    DatabaseBusy,
    DatabaseFull,
    DatabaseLocked,
    DatabaseReadOnly,
    SaddleError,
    Unavailable,
)

ROW = text("INSERT INTO project (id, name) VALUES ('prj_00000000000000000000000000', 'twice')")


def test_a_row_that_somebody_else_made_meanwhile_is_a_conflict(engine: Engine) -> None:
    with transaction(engine) as connection:
        connection.execute(ROW)
    with pytest.raises(Conflict), transaction(engine) as connection:
        connection.execute(ROW)


def test_a_database_that_takes_no_writes_says_so(engine: Engine) -> None:
    with pytest.raises(DatabaseReadOnly), snapshot(engine) as connection:
        connection.execute(ROW)


def test_a_wrong_statement_is_no_passing_trouble(engine: Engine) -> None:
    with pytest.raises(ProgrammingError), transaction(engine) as connection:
        connection.execute(text("SELECT nothing"))


@pytest.mark.parametrize("sqlstate", BY_SQLSTATE)
def test_every_listed_state_is_one_of_the_drivers(sqlstate: str) -> None:
    found = translate(errors.lookup(sqlstate)())
    assert type(found) is BY_SQLSTATE[sqlstate][0]


def test_no_free_connection_is_told_as_that() -> None:
    with pytest.raises(DatabaseBusy), translate_errors():
        raise TimeoutError


@pytest.mark.parametrize(
    ("error", "meant"),
    [
        (errors.DeadlockDetected, DatabaseLocked),
        (errors.SerializationFailure, DatabaseLocked),
        (errors.DiskFull, DatabaseFull),
        (errors.AdminShutdown, Unavailable),
        (errors.ConnectionException, Unavailable),
    ],
)
def test_the_driver_alone_and_below_sqlalchemy_mean_the_same(error: type[Exception], meant: type[SaddleError]) -> None:
    for raised in (error(), DBAPIError("SELECT 1", None, error())):
        with pytest.raises(SaddleError) as found, translate_errors():
            raise raised
        assert type(found.value) is meant
