"""Members and projects by name."""

from sqlalchemy import Connection, select

from service.db.access.principal import Principal
from service.db.access.projects import of_member
from service.db.tables import member, project
from service.errors import NotFound


def find_member(connection: Connection, project_id: str, name: str) -> str:
    """Return the id of a project's member; `NotFound` where it has none of this name."""
    chosen = (member.c.project_id == project_id) & (member.c.name == name)
    found = connection.execute(select(member.c.id).where(chosen)).scalar_one_or_none()
    if found is None:
        raise NotFound("The project has no member of this name.")
    return str(found)


def find_project(connection: Connection, name: str) -> str:
    """Return the id of a project; `NotFound` where there is none of this name."""
    found = connection.execute(select(project.c.id).where(project.c.name == name)).scalar_one_or_none()
    if found is None:
        raise NotFound("There is no project of this name.")
    return str(found)


def as_member(connection: Connection, principal: Principal, name: str | None) -> Principal:
    """Return another member of the principal's project, as whom nothing is done; the principal without a name."""
    return principal if name is None else of_member(connection, find_member(connection, principal.project_id, name))
