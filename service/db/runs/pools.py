"""The workers of each pool and their packages, which decide whether a waiting run can start."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from service.spec.requirements import install_command

FRESH_S = 120.0  # a worker without a heartbeat for longer does not count
WORKERS = text(
    """
    SELECT pool, state = 'idle' AS idle, array(SELECT jsonb_object_keys(packages)) AS packages,
        state IN ('starting', 'idle', 'busy')
            AND beat_at > clock_timestamp() - make_interval(secs => :fresh_s) AS serving
    FROM worker WHERE cast(:pools AS text[]) IS NULL OR pool = ANY(cast(:pools AS text[]))
    """
)


@dataclass
class Pool:
    """A pool: the packages of each worker that serves it now."""

    name: str
    seen: bool = False  # a worker has registered for it at some time
    serving: list[frozenset[str]] = field(default_factory=list)
    idle: list[frozenset[str]] = field(default_factory=list)

    def missing(self, needs: Sequence[str]) -> list[str]:
        """Return the packages that its best worker lacks; empty if one has all of them, or if no worker serves."""
        lacking = [sorted(set(needs) - packages) for packages in self.serving]
        return min(lacking, key=len, default=[])

    def why_not_served(self) -> str:
        """Return why no run of the pool can start; empty if one can."""
        if not self.seen:
            return f"no worker of pool {self.name} has been seen"
        return "" if self.serving else f"no worker of pool {self.name} takes runs now: see /v1/workers"

    def why_not_built(self, needs: Sequence[str]) -> str:
        """Return which packages to install on a worker for the run; empty if none is missing."""
        missing = self.missing(needs)
        return "; ".join(
            f"no worker of pool {self.name} has {each}: on a worker, {install_command(each)}" for each in missing
        )


def pools(connection: Connection, names: Sequence[str] | None = None) -> dict[str, Pool]:
    """Return these pools, or all that have ever had a worker."""
    found = {name: Pool(name) for name in names or ()}
    values = {"pools": None if names is None else list(names), "fresh_s": FRESH_S}
    for row in connection.execute(WORKERS, values):
        pool = found.setdefault(row.pool, Pool(row.pool))
        pool.seen = True
        if row.serving:
            pool.serving.append(frozenset(row.packages))
            if row.idle:
                pool.idle.append(frozenset(row.packages))
    return found
