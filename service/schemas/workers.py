"""Workers and their current runs."""

from pydantic import Field

from service.schemas.common import Json, Utc, View


class WorkerView(View):
    """One slot of a worker."""

    name: str
    pool: str
    host: str
    pid: int
    version: str
    device: Json = Field(description="kind, name, memory_bytes, threads; count, if a run gets several")
    packages: dict[str, str] = Field(description="what a spec can need of it: name and version; of c++ the compiler")
    state: str = Field(description="starting, idle, busy, draining, drained, unhealthy or gone")
    detail: str | None
    run_id: str | None = Field(description="what it trains; null as well for a run of another project")
    started_at: Utc
    beat_s: float = Field(description="seconds since it last said something, by the database's clock")
    drain_since: Utc | None = Field(None, description="it shall take no more runs, as a server admin said then")


class WorkersView(View):
    """The workers, by pool and name."""

    items: list[WorkerView]
