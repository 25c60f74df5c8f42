"""What an answer for curves knows of each series before any point is read: one statement, however much is asked."""

from collections.abc import Sequence
from typing import NamedTuple

from service.db.access.projects import Principal
from service.db.session import Connection, rows
from service.errors import NotFound


class SeriesHead(NamedTuple):
    """A series of a run, and how far both are. Points change only with one of these."""

    run_id: str
    experiment_id: str
    attempt: int
    state: str
    id: int
    name: str
    n: int
    nonfinite: int
    first_step: int | None
    last_step: int | None


HEADS = """
    SELECT r.id, r.experiment_id, r.attempt, r.state, s.id, s.name, s.n, s.nonfinite, s.first_step, s.last_step
    FROM unnest(%(runs)s::text[]) WITH ORDINALITY AS u(run_id, place)
    JOIN run r ON r.id = u.run_id AND r.project_id = %(project)s
    LEFT JOIN series s ON s.run_id = r.id AND (%(names)s::text[] IS NULL OR s.name = ANY(%(names)s))
    ORDER BY u.place, s.name
"""


def heads(
    connection: Connection, principal: Principal, run_ids: Sequence[str], names: Sequence[str] | None = None
) -> list[SeriesHead]:
    """Of each run, in this order, the series of these names, or all; `NotFound` for a run that is not there."""
    given = {"runs": list(run_ids), "project": principal.project_id, "names": None if names is None else list(names)}
    found = rows(connection, HEADS, given)
    known = {row[0] for row in found}
    for run_id in run_ids:
        if run_id not in known:
            raise NotFound(f"There is no run {run_id}.")
    return [SeriesHead(*row) for row in found if row[4] is not None]
