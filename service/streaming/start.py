"""Where a new stream starts."""

from typing import Literal

from service.db.access.principal import Principal
from service.db.runs import runs, stream_queries
from service.db.session import Engine, snapshot
from service.streaming.positions import ProjectPosition, RunPosition
from service.streaming.updates import latest_position

Start = Literal["start", "latest"]


def run_start(
    engine: Engine, principal: Principal, run_id: str, given: RunPosition | None, start: Start
) -> RunPosition:
    """Return the reader's own position, or that of `start`; `NotFound` for a run of another project."""
    with snapshot(engine) as connection:
        if given is None and start == "latest":
            return latest_position(connection, principal, run_id)
        runs.get(connection, principal, run_id)
    return given or RunPosition()


def project_start(engine: Engine, given: ProjectPosition | None, start: Start) -> tuple[ProjectPosition, bool]:
    """Return the position, and whether the reader's own is not of this database and was replaced."""
    with snapshot(engine) as connection:
        now = ProjectPosition(stream_queries.horizon(connection))
    if given is None:
        return (now if start == "latest" else ProjectPosition()), False
    return (now, True) if given.xid > now.xid else (given, False)
