"""Saved views: everybody in a project sees all of its views; who saved one and the admins change and delete it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from service.db import rights
from service.db.access import audit
from service.db.access.principal import Principal
from service.db.tables import member, saved_view
from service.errors import Conflict, NotFound
from service.ids import new_id

MAX_VIEWS = 1000  # of a project


@dataclass(frozen=True)
class StoredView:
    """A view and who saved it."""

    id: str
    place: str
    name: str
    query: str
    text: str
    owner_id: str
    owner: str
    created_at: datetime
    edited_at: datetime | None


def _query(principal: Principal) -> Select[Any]:
    columns = [saved_view.c[name] for name in StoredView.__dataclass_fields__ if name != "owner"]
    query = select(*columns, member.c.name.label("owner")).join(member, member.c.id == saved_view.c.owner_id)
    return query.where(saved_view.c.project_id == principal.project_id)


def page(
    connection: Connection, principal: Principal, place: str | None, limit: int, before: str | None = None
) -> list[StoredView]:
    """Return the newest views, of one place of the page or of all, whose id sorts before `before`."""
    query = _query(principal)
    if place is not None:
        query = query.where(saved_view.c.place == place)
    if before is not None:
        query = query.where(saved_view.c.id < before)
    rows = connection.execute(query.order_by(saved_view.c.id.desc()).limit(limit)).mappings()
    return [StoredView(**row) for row in rows]


def get(connection: Connection, principal: Principal, view_id: str) -> StoredView:
    """Return one view; `NotFound` also for another project's."""
    row = connection.execute(_query(principal).where(saved_view.c.id == view_id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no view {view_id}.")
    return StoredView(**row)


def add(connection: Connection, principal: Principal, place: str, name: str, query: str, words: str) -> StoredView:
    """Store a view; `Conflict` if the place has one of this name already, or the project has too many."""
    counted = select(func.count()).where(saved_view.c.project_id == principal.project_id)
    if connection.execute(counted).scalar_one() >= MAX_VIEWS:
        raise Conflict(f"The project has {MAX_VIEWS} views, the most it may: delete one that nobody needs.")
    row = {"id": new_id("viw"), "place": place, "name": name, "query": query, "text": words}
    made = insert(saved_view).values(**row, project_id=principal.project_id, owner_id=principal.member_id)
    if connection.execute(made.on_conflict_do_nothing().returning(saved_view.c.id)).one_or_none() is None:
        raise Conflict(_taken(name))
    audit.record(connection, principal, "view.create", row["id"], place=place, name=name)
    return get(connection, principal, row["id"])


def change(connection: Connection, principal: Principal, view_id: str, changes: Mapping[str, str]) -> StoredView:
    """Change name, query or text; `Conflict` if another view of the place has the name."""
    found = get(connection, principal, view_id)
    name = changes.get("name", found.name)
    if name != found.name and _is_taken(connection, principal, found.place, name):
        raise Conflict(_taken(name))
    values = {**changes, "edited_at": func.clock_timestamp()}
    connection.execute(update(saved_view).where(saved_view.c.id == view_id).values(values))
    audit.record(connection, principal, "view.change", view_id, fields=sorted(changes))
    return get(connection, principal, view_id)


def remove(connection: Connection, principal: Principal, view_id: str) -> None:
    """Delete a view; what it shows stays."""
    found = get(connection, principal, view_id)
    with rights.acting_as(connection, "saddle_eraser"):
        connection.execute(delete(saved_view).where(saved_view.c.id == view_id))
    audit.record(connection, principal, "view.delete", view_id, name=found.name, owner=found.owner)


def _is_taken(connection: Connection, principal: Principal, place: str, name: str) -> bool:
    query = _query(principal).where(saved_view.c.place == place, saved_view.c.name == name)
    return connection.execute(query).first() is not None


def _taken(name: str) -> str:
    return f'There is a view "{name}" already: choose another name, or change that one.'
