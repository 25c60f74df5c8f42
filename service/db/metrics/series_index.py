"""The series of runs: their extents, read in one statement before any point, and their names."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from sqlalchemy import text

from service.db.access.principal import Principal
from service.db.access.visible import SIGHT, sight_values
from service.db.session import Connection, fetch_binary
from service.errors import NotFound
from service.spec.measures import STANDARD_SERIES


class SeriesEntry(NamedTuple):
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


HEADS = f"""
    SELECT r.id, r.experiment_id, r.attempt, r.state, s.id, s.name, s.n, s.nonfinite, s.first_step, s.last_step
    FROM unnest(%(runs)s::text[]) WITH ORDINALITY AS u(run_id, place)
    JOIN run r ON r.id = u.run_id AND {SIGHT}
    LEFT JOIN series s ON s.run_id = r.id AND (%(names)s::text[] IS NULL OR s.name = ANY(%(names)s))
    ORDER BY u.place, s.name
"""  # noqa: S608  pieces of SQL


def read_entries(
    connection: Connection, principal: Principal, run_ids: Sequence[str], names: Sequence[str] | None = None
) -> list[SeriesEntry]:
    """Return the series of these names, or all, of each run in this order; `NotFound` for a missing run."""
    asked = {"runs": list(run_ids), "names": None if names is None else list(names)}
    found = fetch_binary(connection, HEADS, asked | sight_values(principal))
    known = {row[0] for row in found}
    for run_id in run_ids:
        if run_id not in known:
            raise NotFound(f"There is no run {run_id}.")
    return [SeriesEntry(*row) for row in found if row[4] is not None]


# mostly found by the key of what is written down; all summaries are looked at for the rest alone
SETTLED = text(
    """
    SELECT name FROM unnest(cast(:names AS text[])) AS asked(name) WHERE EXISTS (
        SELECT 1 FROM experiment_figure f JOIN experiment e ON e.id = f.experiment_id
        WHERE f.name = asked.name AND e.project_id = :project_id)
    """
)
ANYWHERE = text("SELECT DISTINCT s.name FROM series s JOIN run r ON r.id = s.run_id WHERE r.project_id = :project_id")


def read_names(connection: Connection, principal: Principal) -> list[str]:
    """Return the names of all series that a run of the project has, sorted."""
    return sorted(connection.execute(ANYWHERE, {"project_id": principal.project_id}).scalars())


def find_unknown_names(
    connection: Connection, principal: Principal, names: Collection[str]
) -> tuple[list[str], list[str]]:
    """Return those of these names that no run of the project has, and then also all names that there are."""
    asked = [name for name in names if name not in STANDARD_SERIES]
    known = {"project_id": principal.project_id}
    if asked:
        settled = set(connection.execute(SETTLED, known | {"names": asked}).scalars())
        asked = [name for name in asked if name not in settled]
    if not asked:
        return [], []
    there = sorted({*read_names(connection, principal), *STANDARD_SERIES})
    return [name for name in asked if name not in there], there
