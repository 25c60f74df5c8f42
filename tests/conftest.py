"""A real Postgres for every test that asks for one: a fresh copy of a migrated database, never a fake."""

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from alembic import command
from psycopg import sql
from sqlalchemy import Engine

from service.db import rights
from service.db.access.projects import Principal, find_principal, new_key
from service.db.session import alembic_config, make_engine, transaction
from service.local.postgres import DATABASE, EmbeddedPostgres
from service.settings import Settings

if sys.dont_write_bytecode:  # containers set it, and each process would compile torch anew: seconds a start
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(Path(sys.prefix, "bytecode"))
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix
    del os.environ["PYTHONDONTWRITEBYTECODE"]

pytest_plugins = ["tests.fixtures.api"]
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off"}
TEMPLATE = "migrated"
_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """A server in a short folder of its own, which unprivileged accounts can reach."""
    home = Path(tempfile.mkdtemp(prefix="saddle-test-"))
    server = EmbeddedPostgres(home / "pg", conf=FAST)
    home.chmod(0o711)
    try:
        with server:
            yield server
    finally:
        shutil.rmtree(home)


def url_of(server: EmbeddedPostgres, database: str) -> str:
    return server.url.replace(f"/{DATABASE}?", f"/{database}?")


@pytest.fixture(scope="session")
def migrated(postgres: EmbeddedPostgres) -> str:
    """The database that all others are copied from; nobody connects to it."""
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as session:
        session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    url = url_of(postgres, TEMPLATE)
    command.upgrade(alembic_config(url), "head")
    owner = make_engine(url)
    with transaction(owner) as connection:
        rights.grant(connection, Settings(database_url=url))
    owner.dispose()
    return TEMPLATE


@contextmanager
def copied(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    """The URL of a new copy, gone afterwards."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as session:
        copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        session.execute(copy.format(sql.Identifier(name), sql.Identifier(template)))
        yield url_of(server, name)
        session.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database_url(postgres: EmbeddedPostgres, migrated: str) -> Iterator[str]:
    """A database of this test's own, at the newest schema."""
    with copied(postgres, migrated) as url:
        yield url


@pytest.fixture(scope="module")
def module_url(postgres: EmbeddedPostgres, migrated: str) -> Iterator[str]:
    """A database for the tests of one file, where each would be slow to set up."""
    with copied(postgres, migrated) as url:
        yield url


@pytest.fixture(scope="session")
def shared_url(postgres: EmbeddedPostgres, migrated: str) -> Iterator[str]:
    """A database for all tests that neither write nor mind what others wrote."""
    with copied(postgres, migrated) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = make_engine(database_url, name="test")
    yield made
    made.dispose()


@pytest.fixture
def key(engine: Engine) -> str:
    with transaction(engine) as connection:
        return new_key(connection, "default", "ada")


@pytest.fixture
def principal(engine: Engine, key: str) -> Principal:
    with transaction(engine) as connection:
        found = find_principal(connection, key)
    assert found is not None
    return found


@pytest.fixture(scope="session")
def s3() -> Iterator[dict[str, str]]:
    """The AWS_ variables of a server that speaks S3, with a bucket called saddle: a stand-in for what we do not own."""
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            for _ in range(300):
                said = os.pread(log.fileno(), 65536, 0).decode()
                if "Running on" in said or process.poll() is not None:
                    break
                time.sleep(0.1)
            url = said.split("Running on ", 1)[1].split()[0]
            urllib.request.urlopen(urllib.request.Request(f"{url}/saddle", method="PUT")).close()
            names = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}
            yield names | {"AWS_ENDPOINT_URL": url}
        finally:
            process.kill()
            process.wait()
