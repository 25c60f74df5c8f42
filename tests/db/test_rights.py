"""Postgres itself refuses what a role must not do: each one logs in and tries."""

from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy import Engine, text

from service.db import rights
from service.db.runs import reaper
from service.db.session import make_engine, transaction
from service.db.tables import metadata
from service.settings import Settings

LOGINS = ("saddle_api", "saddle_worker", "saddle_reader")
PROTOCOL = ("lease", "beat", "worker", "attempt", "step", "checkpoint_step", "crash_count")
ASKED = ("experiment_id", "project_id", "seed", "total_steps", "pool", "desired")
FORBIDDEN = [
    *(("saddle_api", f"UPDATE run SET {column} = {column}") for column in (*PROTOCOL, "experiment_id", "seed")),
    *(("saddle_worker", f"UPDATE run SET {column} = {column}") for column in ASKED),
    ("saddle_api", "INSERT INTO attempt (run_id, attempt, lease, worker, start_step) VALUES ('r', 1, 'l', 'w', 0)"),
    ("saddle_api", "UPDATE attempt SET cut_step = 0"),
    ("saddle_api", "UPDATE series SET n = 0"),
    ("saddle_api", "UPDATE checkpoint SET damaged = true"),
    ("saddle_api", "DELETE FROM metric_chunk"),
    ("saddle_api", "INSERT INTO reading (run_id, attempt, step, kind, data) VALUES ('r', 1, 0, 'start', '{}')"),
    ("saddle_worker", "UPDATE reading SET data = '{}'"),
    ("saddle_api", "INSERT INTO api_key (id, member_id, secret_sha256) VALUES ('k', 'm', '')"),
    ("saddle_api", "UPDATE api_key SET revoked_at = NULL"),
    ("saddle_api", "UPDATE member SET role = 'admin'"),
    ("saddle_api", "UPDATE session SET ended_at = NULL"),
    ("saddle_api", "INSERT INTO session (id, secret_sha256, account_id, device) VALUES ('s', '', 'a', '')"),
    ("saddle_worker", "UPDATE experiment SET spec = '{}'"),
    (
        "saddle_worker",
        "INSERT INTO run (id, experiment_id, project_id, seed, total_steps, pool) VALUES ('', '', '', 0, 1, '')",
    ),
    ("saddle_worker", "UPDATE metric_chunk SET n = 0"),
    ("saddle_worker", "DELETE FROM attempt"),
    ("saddle_worker", "DELETE FROM checkpoint"),
    ("saddle_worker", "DELETE FROM event"),
    ("saddle_worker", "SELECT secret_sha256 FROM api_key"),
    ("saddle_worker", "SELECT name FROM member"),
    ("saddle_worker", "SELECT question FROM comparison"),
    ("saddle_reader", "SELECT secret_sha256 FROM api_key"),
    ("saddle_reader", "UPDATE run SET desired = 'cancel'"),
    ("saddle_reader", "DELETE FROM event"),
    *((role, "DELETE FROM run") for role in LOGINS),
    *((role, "DELETE FROM experiment") for role in LOGINS),
    *(
        (role, f"DELETE FROM {table}")
        for role in LOGINS
        for table in ("metric_tile", "series", "event", "reading", "dataset")
    ),
    *((role, "UPDATE experiment SET project_id = NULL") for role in LOGINS),
    *((role, "UPDATE run SET project_id = NULL") for role in LOGINS),
    ("saddle_api", "SET LOCAL ROLE saddle_eraser; DELETE FROM run"),
    ("saddle_api", "SET LOCAL ROLE saddle_eraser; DELETE FROM comparison"),
    ("saddle_api", "SET LOCAL ROLE saddle_eraser; UPDATE run SET state = 'queued'"),
    ("saddle_api", "SET LOCAL ROLE saddle_eraser; SELECT secret_sha256 FROM api_key"),
    *((role, "UPDATE event SET data = '{}'") for role in LOGINS),
    *((role, "UPDATE audit SET actor = 'nobody'") for role in LOGINS),
    *((role, "DELETE FROM audit") for role in LOGINS),
    *((role, "TRUNCATE audit") for role in LOGINS),
    *(("saddle_api", f"SET LOCAL ROLE {role}; DELETE FROM audit") for role in rights.NOBODY),
    *((role, f"SELECT * FROM {table}") for role in LOGINS[1:] for table in ("audit", "channel", "delivery")),
    *((role, "TRUNCATE metric_chunk") for role in LOGINS),
    *((role, "ALTER TABLE run DISABLE TRIGGER ALL") for role in LOGINS),
    *((role, "CREATE TABLE mine (id int)") for role in LOGINS),
    *((role, "DROP VIEW metric_point") for role in LOGINS),
    *((role, "UPDATE alembic_version SET version_num = '0001'") for role in LOGINS),
    *((role, "SET ROLE saddle") for role in LOGINS),
    ("saddle_reader", "SET ROLE saddle_reaper"),
    ("saddle_reader", "SET ROLE saddle_eraser"),
    ("saddle_worker", "SET ROLE saddle_eraser"),
    *(
        (role, f"SET ROLE {other}")
        for role in ("saddle_worker", "saddle_reader")
        for other in ("saddle_keymaker", "saddle_doorkeeper", "saddle_registrar")
    ),
    ("saddle_worker", "SELECT device FROM session"),
    ("saddle_reader", "SELECT secret_sha256 FROM session"),
    ("saddle_api", "SET LOCAL ROLE saddle_doorkeeper; UPDATE session SET account_id = 'a'"),
    ("saddle_api", "SET LOCAL ROLE saddle_doorkeeper; UPDATE account SET admin = true"),
    ("saddle_api", "SET LOCAL ROLE saddle_doorkeeper; DELETE FROM session"),
    ("saddle_api", "INSERT INTO account (id, name) VALUES ('a', 'a')"),
    ("saddle_api", "UPDATE account SET password_hash = ''"),
    ("saddle_api", "UPDATE invitation SET used_at = NULL"),
    ("saddle_api", "SET LOCAL ROLE saddle_registrar; INSERT INTO account (id, name, admin) VALUES ('a', 'a', true)"),
    ("saddle_api", "SET LOCAL ROLE saddle_registrar; UPDATE account SET admin = true"),
    ("saddle_api", "SET LOCAL ROLE saddle_registrar; UPDATE invitation SET role = 'admin'"),
    ("saddle_api", "SET LOCAL ROLE saddle_registrar; DELETE FROM member"),
    ("saddle_api", "SET LOCAL ROLE saddle_registrar; UPDATE session SET ended_at = NULL"),
    *((role, "SELECT secret_sha256 FROM invitation") for role in ("saddle_worker", "saddle_reader")),
    ("saddle_api", "SET LOCAL ROLE saddle_keymaker; UPDATE api_key SET secret_sha256 = ''"),
    ("saddle_api", "SET LOCAL ROLE saddle_keymaker; UPDATE member SET role = 'admin'"),
]
ALLOWED = [
    ("saddle_reader", "SELECT * FROM metric_point"),
    ("saddle_reader", "SELECT name, spec FROM experiment"),
    ("saddle_api", "UPDATE run SET desired = 'cancel'"),
    ("saddle_api", "SET LOCAL ROLE saddle_eraser; DELETE FROM metric_chunk"),
    ("saddle_api", "SET LOCAL ROLE saddle_keymaker; UPDATE api_key SET revoked_at = clock_timestamp()"),
    ("saddle_api", "SET LOCAL ROLE saddle_doorkeeper; UPDATE session SET ended_at = clock_timestamp()"),
    ("saddle_worker", "UPDATE run SET beat = beat + 1"),
    ("saddle_worker", "UPDATE attempt SET pack_runs = 2"),
    *((role, "SELECT version_num FROM alembic_version") for role in LOGINS),
]
Login = Callable[[str], psycopg.Connection[tuple[object, ...]]]


@pytest.fixture(scope="module")
def login(shared_url: str) -> Iterator[Login]:
    plain = shared_url.replace("+psycopg", "")
    sessions = {role: psycopg.connect(plain.replace("//saddle@", f"//{role}@"), autocommit=True) for role in LOGINS}
    yield sessions.__getitem__
    for session in sessions.values():
        session.close()


@pytest.mark.parametrize(("role", "statement"), FORBIDDEN)
def test_a_role_is_refused_what_it_must_not_do(login: Login, role: str, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        login(role).execute(statement)


@pytest.mark.parametrize(("role", "statement"), ALLOWED)
def test_a_role_may_do_what_its_work_needs(login: Login, role: str, statement: str) -> None:
    with login(role).transaction(force_rollback=True):
        login(role).execute(statement)


def test_the_owner_alone_owns(engine: Engine) -> None:
    with transaction(engine) as connection:
        owners = set(connection.execute(text("SELECT tableowner FROM pg_tables WHERE schemaname = 'public'")).scalars())
    assert owners.isdisjoint(rights.ROLES)


def test_the_table_of_rights_names_what_there_is() -> None:
    for given in rights.ROLES.values():
        assert {*given.insert, *given.delete, *given.hidden} <= set(metadata.tables)
        for table, columns in given.update.items():
            assert set(columns) <= set(metadata.tables[table].c.keys())


def test_what_a_role_was_given_by_hand_is_taken_back_at_the_next_upgrade(engine: Engine, database_url: str) -> None:
    with transaction(engine) as connection:
        connection.execute(text("GRANT ALL ON run, api_key TO saddle_reader"))
        rights.grant(connection, Settings(database_url=database_url))
        left = connection.execute(text("SELECT has_table_privilege('saddle_reader', 'run', 'UPDATE')")).scalar_one()
    assert not left


def test_a_user_that_may_not_make_roles_is_told_what_to_have_made(engine: Engine, database_url: str) -> None:
    with transaction(engine) as connection:
        connection.execute(text("CREATE ROLE somebody LOGIN PASSWORD 'x'"))
    somebody = make_engine(database_url.replace("//saddle@", "//somebody:x@"), pool_size=1)
    try:
        with pytest.raises(rights.CannotGrant, match="CREATE ROLE other LOGIN"), transaction(somebody) as connection:
            rights.make(connection, ["saddle_api", "other"])
    finally:
        somebody.dispose()
        with transaction(engine) as connection:
            connection.execute(text("DROP ROLE somebody"))


def test_a_password_given_to_the_upgrade_is_the_roles_own(engine: Engine, database_url: str) -> None:
    settings = Settings(database_url=database_url, reader_db_password="it's")
    assert rights.passwords(settings) == {"saddle_reader": "it's"}
    with transaction(engine) as connection:
        rights.grant(connection, settings)
        stored = "SELECT rolpassword FROM pg_authid WHERE rolname = 'saddle_reader'"
        assert connection.execute(text(stored)).scalar_one().startswith("SCRAM-SHA-256$")
        connection.execute(text("ALTER ROLE saddle_reader PASSWORD NULL"))


@pytest.mark.parametrize("role", ["saddle_api", "saddle_worker"])
def test_taking_a_run_back_takes_on_another_role_and_gives_it_back(database_url: str, role: str) -> None:
    engine = make_engine(database_url.replace("//saddle@", f"//{role}@"), pool_size=1)
    try:
        with transaction(engine) as connection:
            assert reaper.reap(connection, reaper.Beat("run_nobody", "x", 0)) is None
            assert connection.execute(text("SELECT current_user")).scalar_one() == role
            with rights.acting_as(connection, "saddle_reaper"):
                assert connection.execute(text("SELECT current_user")).scalar_one() == "saddle_reaper"
            assert connection.execute(text("SELECT current_user")).scalar_one() == role
    finally:
        engine.dispose()
