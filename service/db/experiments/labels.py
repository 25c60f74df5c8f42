"""Labels of an experiment: name, tags, notes, archived or not. Its spec never changes."""

from typing import Any

from sqlalchemy import Connection, func, update

from service.db.access.principal import Principal
from service.db.tables import experiment
from service.errors import NotFound


def update_labels(connection: Connection, principal: Principal, experiment_id: str, labels: dict[str, Any]) -> None:
    """Set name, tags, notes or when it was archived; `NotFound` for another project's."""
    mine = (experiment.c.id == experiment_id) & (experiment.c.project_id == principal.project_id)
    if labels and connection.execute(update(experiment).where(mine).values(labels)).rowcount == 0:
        raise NotFound(f"There is no experiment {experiment_id}.")


def archive(connection: Connection, principal: Principal, experiment_id: str, away: bool) -> None:
    """Archive an experiment, which lists then leave out, or restore it; repeating it changes nothing."""
    when = func.coalesce(experiment.c.archived_at, func.clock_timestamp()) if away else None
    update_labels(connection, principal, experiment_id, {"archived_at": when})
