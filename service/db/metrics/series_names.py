"""Which series the runs of a project have, so that a mistyped name is refused."""

from collections.abc import Collection

from sqlalchemy import Connection, text

from service.db.access.projects import Principal
from service.spec.measures import STANDARD_SERIES

# mostly found by the key of what is written down; all summaries are looked at for the rest alone
SETTLED = text(
    """
    SELECT name FROM unnest(cast(:names AS text[])) AS asked(name) WHERE EXISTS (
        SELECT 1 FROM experiment_figure f JOIN experiment e ON e.id = f.experiment_id
        WHERE f.name = asked.name AND e.project_id = :project_id)
    """
)
ANYWHERE = text("SELECT DISTINCT s.name FROM series s JOIN run r ON r.id = s.run_id WHERE r.project_id = :project_id")


def unknown(connection: Connection, principal: Principal, names: Collection[str]) -> tuple[list[str], list[str]]:
    """Return those of these names that no run of the project has, and then also all names that there are."""
    asked = [name for name in names if name not in STANDARD_SERIES]
    known = {"project_id": principal.project_id}
    if asked:
        settled = set(connection.execute(SETTLED, known | {"names": asked}).scalars())
        asked = [name for name in asked if name not in settled]
    if not asked:
        return [], []
    there = sorted({*connection.execute(ANYWHERE, known).scalars(), *STANDARD_SERIES})
    return [name for name in asked if name not in there], there
