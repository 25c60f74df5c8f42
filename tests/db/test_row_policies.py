"""The second wall between projects: a statement that forgets to ask for its project finds nothing of another."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Engine, text

from service.db.access import quota_use, quotas
from service.db.access.principal import Principal
from service.db.access.projects import find_principal, new_key
from service.db.experiments import deletion, experiments
from service.db.runs import desired_state
from service.db.runs.runs import all_of_experiments
from service.db.session import EVERY_PROJECT, NO_PROJECT, autocommit, make_engine, snapshot, transaction
from service.errors import SaddleError
from service.spec.parse.presets import presets
from tests.harness.statements import sent_statements

TABLES = (
    *("experiment", "run", "event", "dataset", "verification", "comparison", "comment", "study", "study_trial"),
    "saved_view",
)


@pytest.fixture
def api(database_url: str) -> Iterator[Engine]:
    """An engine with the API's rights and one connection, so that what one use leaves meets the next."""
    made = make_engine(database_url.replace("//saddle@", "//saddle_api@", 1), pool_size=1)
    yield made
    made.dispose()


@pytest.fixture
def other(engine: Engine) -> Principal:
    with transaction(engine) as connection:
        found = find_principal(connection, new_key(connection, "elsewhere", "eve"))
    assert found is not None
    return found


@pytest.fixture
def both(engine: Engine, principal: Principal, other: Principal) -> dict[str, str]:
    """An experiment of each project, by the project's id."""
    spec = next(iter(presets().values()))
    with transaction(engine) as connection:
        return {who.project_id: experiments.add(connection, who, spec, "cpu").id for who in (principal, other)}


def seen(connection: Any, table: str = "experiment") -> set[str]:
    return set(connection.execute(text(f"SELECT project_id FROM {table}")).scalars())


def test_each_way_to_open_a_connection_reaches_one_project(
    api: Engine, principal: Principal, other: Principal, both: dict[str, str]
) -> None:
    ways: list[Callable[..., Any]] = [transaction, autocommit, snapshot]
    for way in (*ways, *ways):
        for project_id, expected in (
            (principal.project_id, {principal.project_id}),
            (other.project_id, {other.project_id}),
            (NO_PROJECT, set()),
            (EVERY_PROJECT, set(both)),
        ):
            with way(api, project_id) as connection:
                assert seen(connection) == seen(connection, "run") == seen(connection, "event") == expected
    with transaction(api) as connection:
        assert seen(connection) == set(both), "what names no project is the server's own"


def test_nothing_of_another_project_is_written(
    api: Engine, principal: Principal, other: Principal, both: dict[str, str]
) -> None:
    theirs = both[other.project_id]
    with transaction(api, principal.project_id) as connection:
        mine = len(all_of_experiments(connection, [both[principal.project_id]]))
        changed = connection.execute(text("UPDATE run SET desired = 'cancel'")).rowcount
        renamed = connection.execute(text("UPDATE experiment SET name = 'x' WHERE id = :id"), {"id": theirs}).rowcount
    assert (changed, renamed) == (mine, 0)
    with pytest.raises(Exception, match="row-level security"), transaction(api, principal.project_id) as connection:
        connection.execute(
            text("INSERT INTO event (project_id, run_id, kind) SELECT :project, id, 'x' FROM run"),
            {"project": other.project_id},
        )


def test_a_rollback_does_not_leave_the_connection_with_a_project(
    api: Engine, principal: Principal, other: Principal, both: dict[str, str]
) -> None:
    with pytest.raises(ZeroDivisionError), transaction(api, principal.project_id):
        raise ZeroDivisionError
    with transaction(api, other.project_id) as connection:
        assert seen(connection) == {other.project_id}
    with pytest.raises(SaddleError), transaction(api, principal.project_id) as connection:
        raise SaddleError("refused")
    with transaction(api) as connection:
        assert seen(connection) == set(both)


def test_the_setting_costs_a_statement_only_where_the_project_changes(
    api: Engine, principal: Principal, other: Principal, both: dict[str, str]
) -> None:
    with transaction(api, other.project_id) as connection:
        seen(connection)
    with sent_statements() as statements:
        for _ in range(3):
            with autocommit(api, principal.project_id) as connection:
                seen(connection)
            with transaction(api, principal.project_id) as connection:
                seen(connection)
    assert len(statements) == 6 + 1


def test_what_is_erased_is_nobodys_and_erasing_stays_within_the_project(
    api: Engine, principal: Principal, both: dict[str, str]
) -> None:
    mine = both[principal.project_id]
    with transaction(api, principal.project_id) as connection:
        for run in all_of_experiments(connection, [mine]):
            desired_state.cancel(connection, principal, run.id)
        deletion.erase(connection, principal, mine)
    with transaction(api) as connection:
        assert seen(connection) == {None, *set(both) - {principal.project_id}}


def test_every_table_with_a_project_that_requests_reach_has_a_policy(engine: Engine) -> None:
    with transaction(engine) as connection:
        held = set(connection.execute(text("SELECT tablename FROM pg_policies")).scalars())
        named = connection.execute(
            text("SELECT table_name FROM information_schema.columns WHERE column_name = 'project_id'")
        )
        owned = set(named.scalars())
    people = {"member", "audit", "quota", "quota_use", "session", "channel", "delivery", "alarm", "event_reader"}
    people |= {"share", "dataset_grant", "invitation", "device_use"}
    assert held == set(TABLES)
    assert owned - people == held


def test_requests_of_two_projects_do_not_meet(client: TestClient, stranger: dict[str, str], submit: Any) -> None:
    mine = submit()["id"]
    assert client.get("/v1/experiments", headers=stranger).json()["items"] == []
    assert [each["id"] for each in client.get("/v1/experiments").json()["items"]] == [mine]


def test_a_limit_that_one_project_sets_leaves_the_use_of_another_counted(
    api: Engine, engine: Engine, principal: Principal, other: Principal, both: dict[str, str]
) -> None:
    with transaction(engine) as connection:
        connection.execute(
            text(
                """
                INSERT INTO attempt (run_id, attempt, lease, worker, start_step, started_at, ended_at)
                SELECT id, 1, 'l', 'w', 0, clock_timestamp() - interval '1 s', clock_timestamp() FROM run
                """
            )
        )
        quota_use.count(connection)
    for who in (principal, other):
        with transaction(api, who.project_id) as connection:
            quotas.set_limit(connection, "device_hours", "person", who.project_id, None, 5)
    with transaction(engine) as connection:
        used = connection.execute(text("SELECT project_id FROM quota_use WHERE member_id IS NULL AND device_s > 0"))
        assert set(used.scalars()) == {principal.project_id, other.project_id}
