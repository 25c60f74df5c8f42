"""Commands of server admins on what other projects own."""

from dataclasses import replace

from sqlalchemy import Connection, text

from service.db.access.principal import Principal
from service.errors import NotFound

WHOSE = {
    "run": text("SELECT p.id, p.name FROM run x JOIN project p ON p.id = x.project_id WHERE x.id = :id"),
    "experiment": text("SELECT p.id, p.name FROM experiment x JOIN project p ON p.id = x.project_id WHERE x.id = :id"),
}


def in_project_of(connection: Connection, principal: Principal, kind: str, id: str) -> Principal:
    """Return the principal within the project of a run or an experiment, whose audit then tells of it."""
    row = connection.execute(WHOSE[kind], {"id": id}).one_or_none()
    if row is None:
        raise NotFound(f"There is no {kind} {id}.")
    return replace(principal, project_id=row.id, project=row.name)
