"""Which experiments a principal sees: those of their project, and for reading those that other projects share with it.

Every statement that finds an experiment or run by its id restricts it by one of these two conditions.
"""

from typing import Any

from sqlalchemy import Boolean, ColumnElement, and_, bindparam, or_, select

from service.db.access.principal import Principal
from service.db.tables import share

# of a run r, with the parameters of `sight_values`
SIGHT = """
    (r.project_id = %(project)s OR (%(reads)s AND r.project_id IS NOT NULL
        AND r.experiment_id IN (SELECT experiment_id FROM share WHERE project_id = %(project)s)))
"""


def bound_sight(project_id: ColumnElement[str], experiment_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition of `in_sight` with the parameters of `sight_values`, for a statement compiled once."""
    project = bindparam("project", type_=project_id.type)
    shared = select(share.c.experiment_id).where(share.c.project_id == project)
    return or_(
        project_id == project,
        and_(bindparam("reads", type_=Boolean), project_id.is_not(None), experiment_id.in_(shared)),
    )


def sight_values(principal: Principal) -> dict[str, Any]:
    """Return the parameters of `SIGHT` and of `bound_sight`."""
    return {"project": principal.project_id, "reads": principal.only_reads}


def in_sight(
    principal: Principal, project_id: ColumnElement[str], experiment_id: ColumnElement[str]
) -> ColumnElement[bool]:
    """Return the condition for rows that the principal may read, or with a request that writes those it may change."""
    mine = project_id == principal.project_id
    return or_(mine, is_shared(principal, project_id, experiment_id)) if principal.only_reads else mine


def is_shared(
    principal: Principal, project_id: ColumnElement[str], experiment_id: ColumnElement[str]
) -> ColumnElement[bool]:
    """Return the condition for rows that another project shares; what lies in its bin is nobody's."""
    shared = select(share.c.experiment_id).where(share.c.project_id == principal.project_id)
    return and_(project_id.is_not(None), experiment_id.in_(shared))
