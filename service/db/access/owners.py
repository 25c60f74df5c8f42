"""Whose an object is."""

from dataclasses import dataclass

from sqlalchemy import Connection, Select, select

from service.db.access.principal import Principal
from service.db.tables import api_key, channel, comment, dataset, experiment, member, project, run, saved_view, study

PERSONAL = ("key", "channel", "comment")  # no other member's business, whatever the project allows


@dataclass(frozen=True)
class Owner:
    """The member who made an object."""

    member_id: str
    member: str
    shared: bool  # the project lets members manage each other's work


def find_owner(connection: Connection, principal: Principal, kind: str, object_id: str) -> Owner | None:
    """Return the owner of an object of the principal's project; None where the project has no such object."""
    chosen = _owner_of(kind, object_id)
    query = (
        select(member.c.id, member.c.name, project.c.members_manage)
        .join(project, project.c.id == member.c.project_id)
        .where(member.c.id == chosen.scalar_subquery(), project.c.id == principal.project_id)
    )
    row = connection.execute(query).one_or_none()
    return None if row is None else Owner(row.id, row.name, row.members_manage and kind not in PERSONAL)


def _owner_of(kind: str, object_id: str) -> Select[tuple[str]]:
    match kind:
        case "experiment":
            return select(experiment.c.owner_id).where(experiment.c.id == object_id)
        case "run":
            joined = run.join(experiment, experiment.c.id == run.c.experiment_id)
            return select(experiment.c.owner_id).select_from(joined).where(run.c.id == object_id)
        case "study":
            return select(study.c.owner_id).where(study.c.id == object_id)
        case "dataset":
            return select(dataset.c.owner_id).where(dataset.c.id == object_id)
        case "key":
            return select(api_key.c.member_id).where(api_key.c.id == object_id)
        case "channel":
            return select(channel.c.member_id).where(channel.c.id == object_id)
        case "comment":
            return select(comment.c.author_id).where(comment.c.id == object_id)
        case "view":
            return select(saved_view.c.owner_id).where(saved_view.c.id == object_id)
    raise AssertionError(kind)
