"""Comparisons: stored questions, answered anew each time they are read; and the runs that speak for an experiment."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.dialects.postgresql import distinct_on

from service.db.projects import Principal
from service.db.runs import COLUMNS, StoredRun, stored
from service.db.tables import comparison, run
from service.errors import NotFound
from service.ids import new_id


@dataclass(frozen=True)
class StoredComparison:
    """A question as it was asked."""

    id: str
    question: dict[str, Any]
    created_at: datetime


def add(connection: Connection, principal: Principal, question: dict[str, Any]) -> str:
    """Store a question; its id."""
    comparison_id = new_id("cmp")
    row = {
        "id": comparison_id,
        "project_id": principal.project_id,
        "owner_id": principal.member_id,
        "question": question,
    }
    connection.execute(insert(comparison).values(row))
    return comparison_id


def get(connection: Connection, principal: Principal, comparison_id: str) -> StoredComparison:
    """One question, or `NotFound`, which is also the answer for another project's."""
    query = select(comparison).where(comparison.c.id == comparison_id, comparison.c.project_id == principal.project_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"There is no comparison {comparison_id}.")
    return StoredComparison(row.id, row.question, row.created_at)


def newest_runs(connection: Connection, experiment_ids: Sequence[str]) -> list[StoredRun]:
    """Of each experiment and seed the newest run that is no replay; the caller has checked that they may be seen."""
    query = (
        select(*COLUMNS)
        .ext(distinct_on(run.c.experiment_id, run.c.seed))
        .where(run.c.experiment_id.in_(experiment_ids), run.c.relation.is_distinct_from("replay"))
        .order_by(run.c.experiment_id, run.c.seed, run.c.id.desc())
    )
    return [stored(row) for row in connection.execute(query).mappings()]
