"""Statements that the driver runs alone read what SQLAlchemy reads."""

from collections.abc import Iterator

import psycopg
import pytest
from sqlalchemy import ARRAY, Connection, Text, bindparam, func, literal, select, text

from service.db.driver import Statement
from service.db.session import make_engine, transaction
from service.db.tables import run

GIVEN = func.any(bindparam("ids", type_=ARRAY(Text)))


@pytest.fixture
def connection(shared_url: str) -> Iterator[Connection]:
    engine = make_engine(shared_url)
    with transaction(engine) as opened:
        yield opened
    engine.dispose()


def test_a_statement_of_the_driver_reads_the_same_rows(connection: Connection) -> None:
    rows = select(
        literal(0.1), literal("a"), func.statement_timestamp() > func.now(), func.jsonb_build_object("a", 1)
    ).where(literal("b").in_(["a", "b"]), literal("c") == GIVEN)
    read = Statement(rows)
    for ids in (["c", "d"], ["d"], []):
        assert read.rows(connection, ids=ids) == [tuple(row) for row in connection.execute(rows, {"ids": ids})]
    assert read.rows(connection, ids=["c"])[0][3] == {"a": 1}


def test_text_and_tables_are_statements_too(connection: Connection) -> None:
    assert Statement(text("SELECT :a + 1")).rows(connection, a=41) == [(42,)]
    assert Statement(select(run.c.id).where(run.c.id == GIVEN)).rows(connection, ids=["run_1"]) == []


def test_a_value_that_is_not_given_is_refused(connection: Connection) -> None:
    with pytest.raises(psycopg.ProgrammingError, match="ids"):
        Statement(select(literal("c") == GIVEN)).rows(connection)
