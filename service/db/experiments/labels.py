"""Labels of an experiment: name, tags, notes, archived or not. Its spec never changes."""

from typing import Any

from sqlalchemy import Connection, func, update

from service.db.access import audit
from service.db.access.principal import Principal
from service.db.tables import experiment
from service.errors import NotFound


def update_labels(connection: Connection, principal: Principal, experiment_id: str, labels: dict[str, Any]) -> None:
    """Set name, tags or notes; `NotFound` for another project's."""
    _update(connection, principal, experiment_id, labels)
    if labels:
        audit.record(connection, principal, "experiment.label", experiment_id, fields=sorted(labels))


def _update(connection: Connection, principal: Principal, experiment_id: str, values: dict[str, Any]) -> None:
    mine = (experiment.c.id == experiment_id) & (experiment.c.project_id == principal.project_id)
    if values and connection.execute(update(experiment).where(mine).values(values)).rowcount == 0:
        raise NotFound(f"There is no experiment {experiment_id}.")


def archive(connection: Connection, principal: Principal, experiment_id: str, away: bool) -> None:
    """Archive an experiment, which lists then leave out, or restore it; repeating it changes nothing."""
    when = func.coalesce(experiment.c.archived_at, func.clock_timestamp()) if away else None
    _update(connection, principal, experiment_id, {"archived_at": when})
    audit.record(connection, principal, f"experiment.{'archive' if away else 'unarchive'}", experiment_id)
