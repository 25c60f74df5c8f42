"""Projects of an account: which there are, entering one, making one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects.postgresql import insert

from service.db import rights
from service.db.tables import member, project, session
from service.errors import Conflict, NotFound
from service.ids import new_id


@dataclass(frozen=True)
class Membership:
    """A project as one of its members sees it."""

    id: str
    name: str
    role: str
    created_at: datetime


def of_account(connection: Connection, account_id: str) -> Sequence[Membership]:
    """The projects that an account is in, by name."""
    query = select(project.c.id, project.c.name, member.c.role, project.c.created_at)
    query = query.join(member, member.c.project_id == project.c.id).order_by(project.c.name)
    chosen = (member.c.account_id == account_id) & member.c.removed_at.is_(None)
    return [Membership(**row) for row in connection.execute(query.where(chosen)).mappings()]


def enter(connection: Connection, account_id: str, session_id: str, project_id: str) -> None:
    """Make a project the current one of a session; `NotFound` where the account is not in it."""
    chosen = (member.c.account_id == account_id) & (member.c.project_id == project_id) & member.c.removed_at.is_(None)
    member_id = connection.execute(select(member.c.id).where(chosen)).scalar_one_or_none()
    if member_id is None:
        raise NotFound(f"You are in no project {project_id}.")
    with rights.acting_as(connection, "saddle_doorkeeper"):
        connection.execute(update(session).where(session.c.id == session_id).values(member_id=member_id))


def create_project(connection: Connection, name: str) -> str:
    """Return the id of a new project, which has no members yet; `Conflict` for a name that another has."""
    project_id = new_id("prj")
    with rights.acting_as(connection, "saddle_registrar"):
        new = insert(project).values(id=project_id, name=name).on_conflict_do_nothing().returning(project.c.id)
        made = connection.execute(new).first()
    if made is None:
        raise Conflict("Another project has this name: choose another.")
    return project_id


def join(connection: Connection, project_id: str, account_id: str, name: str, role: str) -> str:
    """Make an account a member and return the member's id; whoever was one before is the same member again.

    `Conflict` where the account is a member now.
    """
    chosen = (member.c.account_id == account_id) & (member.c.project_id == project_id)
    before = connection.execute(select(member.c.id, member.c.removed_at).where(chosen)).one_or_none()
    if before is not None and before.removed_at is None:
        raise Conflict("You are a member of this project already.")
    with rights.acting_as(connection, "saddle_registrar"):
        if before is not None:
            connection.execute(update(member).where(member.c.id == before.id).values(removed_at=None, role=role))
            return str(before.id)
        row = {"id": new_id("mem"), "project_id": project_id, "account_id": account_id, "role": role}
        for each in (name, f"{name} ({account_id[-4:]})"):  # another account had this name here, as first keys make it
            new = insert(member).values(name=each, **row).on_conflict_do_nothing().returning(member.c.id)
            if connection.execute(new).first() is not None:
                return row["id"]
    raise Conflict("You are a member of this project already.")  # since a moment ago
