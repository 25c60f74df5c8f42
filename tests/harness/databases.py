"""Databases of the tests: one that is migrated, and copies of it."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from alembic import command
from psycopg import sql

from service.db import rights
from service.db.access.projects import new_key
from service.db.session import alembic_config, make_engine, transaction
from service.local.postgres import DATABASE, EmbeddedPostgres
from service.settings import Settings

TEMPLATE = "migrated"
_numbers = itertools.count()
_kept: dict[Path, "psycopg.Connection[Any]"] = {}  # by the folder of a server


def url_of(server: EmbeddedPostgres, database: str) -> str:
    """The URL of a database for its owner."""
    return server.url.replace(f"/{DATABASE}?", f"/{database}?")


def create_template(server: EmbeddedPostgres) -> str:
    """Create and migrate the database that all others are copied from; nobody may stay connected to it."""
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as session:
        session.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    url = url_of(server, TEMPLATE)
    command.upgrade(alembic_config(url), "head")
    owner = make_engine(url)
    with transaction(owner) as connection:
        rights.grant(connection, Settings(database_url=url))
    owner.dispose()
    return TEMPLATE


@contextmanager
def keep_session(server: EmbeddedPostgres) -> Iterator[None]:
    """Make and drop the copies on this server over one session: two new ones cost a third of what a copy does."""
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as session:
        _kept[server.home] = session
        try:
            yield
        finally:
            del _kept[server.home]


@contextmanager
def copy_database(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    """Yield the URL of a new copy; drop it afterwards, even if the server restarted meanwhile."""
    name = f"test_{os.getpid()}_{next(_numbers)}"
    copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
    _administer(server, copy.format(sql.Identifier(name), sql.Identifier(template)))
    yield url_of(server, name)
    _administer(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _administer(server: EmbeddedPostgres, statement: sql.Composed) -> None:
    if server.home in _kept:
        _kept[server.home].execute(statement)
        return
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as session:
        session.execute(statement)


def create_key(url: str, project: str) -> str:
    """Create a key of a project, which is created where it is missing."""
    engine = make_engine(url, pool_size=1)
    with transaction(engine) as connection:
        key = new_key(connection, project, "admin")  # as the command names its member
    engine.dispose()
    return key
