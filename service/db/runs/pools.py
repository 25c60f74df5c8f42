"""The workers of each pool, their packages and devices, which decide whether a waiting run can start."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, text

from service.spec.requirements import describe_need, devices_need, how_to_meet, met_by, with_devices

MOST_TOLD = 5  # workers in a reason
FRESH_S = 120.0  # a worker without a heartbeat for longer does not count
WORKERS = text(
    """
    SELECT name, pool, device ->> 'kind' AS device_kind, state = 'idle' AS idle, detail,
        packages,
        coalesce(cast(device ->> 'count' AS integer), 1) AS devices,
        cast(device ->> 'memory_bytes' AS bigint) AS memory_bytes,
        state IN ('starting', 'idle', 'busy')
            AND beat_at > clock_timestamp() - make_interval(secs => :fresh_s) AS serving
    FROM worker WHERE cast(:pools AS text[]) IS NULL OR pool = ANY(cast(:pools AS text[]))
    """
)


@dataclass
class Pool:
    """A pool: what each worker that serves it now has, which is its packages and `devices=n`."""

    name: str
    seen: bool = False  # a worker has registered for it at some time
    serving: list[frozenset[str]] = field(default_factory=list)
    packages: dict[str, dict[str, str]] = field(default_factory=dict)  # of each worker that serves it, with versions
    idle: list[tuple[frozenset[str], str | None]] = field(default_factory=list)  # with what limits the run it takes
    device_kinds: set[str] = field(default_factory=set)  # of the workers that serve it
    memory_bytes: list[int | None] = field(default_factory=list)  # of a device of each; None: not known

    @property
    def largest_memory(self) -> int | None:
        """The memory of the largest device that serves it; None if no worker does, or one's is not known."""
        known = [size for size in self.memory_bytes if size is not None]
        return max(known, default=None) if len(known) == len(self.memory_bytes) else None

    def missing(self, needs: Sequence[str]) -> list[str]:
        """Return the needs that its best worker does not meet; empty if one meets all, or if no worker serves."""
        lacking = [sorted(set(needs) - has) for has in self.serving]
        return min(lacking, key=len, default=[])

    def why_not_served(self) -> str:
        """Return why no run of the pool can start; empty if one can."""
        if not self.seen:
            return f"no worker of pool {self.name} has been seen"
        return "" if self.serving else f"no worker of pool {self.name} takes runs now: see /v1/workers"

    def why_not_built(self, needs: Sequence[str]) -> str:
        """Return what the workers lack for the run and how to provide it; empty if one can train it."""
        return "; ".join(
            f"{self.describe_lack(need)}: {how_to_meet(need, self.name)}" for need in self.missing(with_devices(needs))
        )

    def describe_lack(self, need: str) -> str:
        """Return that no worker meets a need; where it is a version of a package, with who has which."""
        package, pinned, _ = need.partition("==")
        told = f"no worker of pool {self.name} has {describe_need(need)}"
        if not pinned:
            return told
        has = [f"{worker} has {found.get(package, 'none')}" for worker, found in sorted(self.packages.items())]
        more = [f"{len(has) - MOST_TOLD} more"] if len(has) > MOST_TOLD else []
        return f"{told} ({', '.join([*has[:MOST_TOLD], *more])})"

    def has_idle(self, needs: Sequence[str]) -> bool:
        """Whether an idle worker can train a run with these needs."""
        return bool(self._idle_limits(needs))

    def why_too_little_memory(self, needs: Sequence[str]) -> str:
        """Return what is free on the shared devices of the idle workers; empty if one of them has its device alone."""
        limits = self._idle_limits(needs)
        return "" if None in limits else "; ".join(limit for limit in limits if limit is not None)

    def _idle_limits(self, needs: Sequence[str]) -> list[str | None]:
        """Return the limit of each idle worker that can train a run with these needs."""
        return [limit for has, limit in self.idle if has.issuperset(with_devices(needs))]


def pools(connection: Connection, names: Sequence[str] | None = None) -> dict[str, Pool]:
    """Return these pools, or all that have ever had a worker."""
    found = {name: Pool(name) for name in names or ()}
    values = {"pools": None if names is None else list(names), "fresh_s": FRESH_S}
    for row in connection.execute(WORKERS, values):
        pool = found.setdefault(row.pool, Pool(row.pool))
        pool.seen = True
        if row.serving:
            has = frozenset([*met_by(row.packages), devices_need(row.devices)])
            pool.packages[row.name] = row.packages
            pool.serving.append(has)
            pool.device_kinds.add(row.device_kind)
            pool.memory_bytes.append(row.memory_bytes)
            if row.idle:
                pool.idle.append((has, row.detail))
    return found
