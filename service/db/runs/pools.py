"""The workers of a pool as a waiting run sees them: whether there are any, and which packages they have."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from service.spec.requirements import install_command

FRESH_S = 120.0  # a worker that said nothing for longer is not counted on
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
    """The workers that take runs of a pool now: the packages of each."""

    name: str
    seen: bool = False  # whether a worker of it ever announced itself
    serving: list[frozenset[str]] = field(default_factory=list)
    idle: list[frozenset[str]] = field(default_factory=list)

    def missing(self, needs: Sequence[str]) -> list[str]:
        """Return the packages that its best worker lacks; none where one can build the run or no worker serves."""
        lacking = [sorted(set(needs) - packages) for packages in self.serving]
        return min(lacking, key=len, default=[])

    def why_not_served(self) -> str:
        """Return why no run of the pool can start; empty where one can."""
        if not self.seen:
            return f"no worker of pool {self.name} has been seen"
        return "" if self.serving else f"no worker of pool {self.name} takes runs now: see /v1/workers"

    def why_not_built(self, needs: Sequence[str]) -> str:
        """Which package a worker must get before it can build the run; empty where one can."""
        missing = self.missing(needs)
        return "; ".join(
            f"no worker of pool {self.name} has {each}: on a worker, {install_command(each)}" for each in missing
        )


def pools(connection: Connection, names: Sequence[str] | None = None) -> dict[str, Pool]:
    """Return these pools, or all that a worker ever served."""
    found = {name: Pool(name) for name in names or ()}
    asked = {"pools": None if names is None else list(names), "fresh_s": FRESH_S}
    for row in connection.execute(WORKERS, asked):
        pool = found.setdefault(row.pool, Pool(row.pool))
        pool.seen = True
        if row.serving:
            pool.serving.append(frozenset(row.packages))
            if row.idle:
                pool.idle.append(frozenset(row.packages))
    return found
