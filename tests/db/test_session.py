"""Connections of the pool: a closed one is replaced, without a ping at every use."""

import pytest
from sqlalchemy import Engine, text

from service.db.session import autocommit, close_engine, make_engine, transaction
from service.errors import Unavailable


def _backend(engine: Engine) -> int:
    with autocommit(engine) as connection:
        return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


def test_a_connection_that_postgres_closed_is_replaced(engine: Engine) -> None:
    first = _backend(engine)
    _terminate(engine, first)
    assert _backend(engine) != first


def test_a_connection_that_was_closed_here_is_replaced(engine: Engine) -> None:
    with engine.connect() as connection:
        connection.connection.driver_connection.close()
    assert _backend(engine) > 0


def test_a_sound_connection_is_used_again_without_a_ping(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _backend(engine)
    monkeypatch.setattr(engine.dialect, "do_ping", lambda _: pytest.fail("pinged"))
    assert [_backend(engine) for _ in range(5)] == [first] * 5


def test_a_connection_in_use_when_its_engine_closes_is_closed_when_it_returns(engine: Engine) -> None:
    idle, used = engine.connect(), engine.connect()
    drivers = [each.connection.driver_connection for each in (idle, used)]
    idle.close()
    close_engine(engine)
    assert [each.closed for each in drivers] == [True, False]
    assert used.execute(text("SELECT 1")).scalar_one() == 1
    used.close()
    assert drivers[1].closed


def _terminate(engine: Engine, backend: int) -> None:
    other = make_engine(engine.url.render_as_string(hide_password=False))
    with autocommit(other) as connection:
        assert connection.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": backend}).scalar_one()
    other.dispose()


def _break_in_a_transaction(engine: Engine, project: str) -> None:
    with transaction(engine, project) as connection:
        _terminate(engine, connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
        connection.execute(text("SELECT 1"))


@pytest.mark.parametrize("project", ["", "prj_1"])
def test_a_connection_that_breaks_in_a_transaction_is_unavailable_and_the_next_one_is_held_to_its_project(
    engine: Engine, project: str
) -> None:
    with pytest.raises(Unavailable):
        _break_in_a_transaction(engine, project)
    with transaction(engine, project) as connection:
        setting = connection.execute(text("SELECT current_setting('saddle.project', true)")).scalar_one()
    assert (setting or "") == project
