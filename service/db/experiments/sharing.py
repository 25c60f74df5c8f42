"""Experiments that other projects may read: in their lists, comparisons and views, never to change."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.postgresql import insert

from service.db import rights
from service.db.access import audit
from service.db.access.members import find_project
from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.tables import member, project, share
from service.errors import Conflict


@dataclass(frozen=True)
class StoredShare:
    """A project that may read an experiment."""

    project: str
    shared_by: str
    created_at: datetime


def list_shares(connection: Connection, principal: Principal, experiment_id: str) -> Sequence[StoredShare]:
    """Return the projects that may read an experiment of the principal's own project; none for a shared one."""
    found = experiments.get(connection, principal, experiment_id)
    if found.shared:
        return []
    query = select(project.c.name.label("project"), member.c.name.label("shared_by"), share.c.created_at)
    query = query.join(project, project.c.id == share.c.project_id).join(member, member.c.id == share.c.shared_by)
    rows = connection.execute(query.where(share.c.experiment_id == experiment_id).order_by(project.c.name))
    return [StoredShare(*row) for row in rows]


def add(connection: Connection, principal: Principal, experiment_id: str, with_project: str) -> None:
    """Share an experiment with a project; repeating it changes nothing."""
    experiments.get(connection, principal, experiment_id, lock=True)
    project_id = find_project(connection, with_project)
    if project_id == principal.project_id:
        raise Conflict("The experiment is in that project: its members see it already.")
    row = {"experiment_id": experiment_id, "project_id": project_id, "shared_by": principal.member_id}
    with rights.acting_as(connection, "saddle_mover"):
        made = connection.execute(insert(share).values(row).on_conflict_do_nothing().returning(share.c.project_id))
        new = made.one_or_none() is not None
    if new:
        audit.record(connection, principal, "experiment.share", experiment_id, project=with_project)


def remove(connection: Connection, principal: Principal, experiment_id: str, with_project: str) -> None:
    """Stop sharing; repeating it changes nothing."""
    experiments.get(connection, principal, experiment_id, lock=True)
    project_id = find_project(connection, with_project)
    chosen = (share.c.experiment_id == experiment_id) & (share.c.project_id == project_id)
    with rights.acting_as(connection, "saddle_mover"):
        gone = connection.execute(delete(share).where(chosen)).rowcount
    if gone:
        audit.record(connection, principal, "experiment.unshare", experiment_id, project=with_project)
