"""What server admins see: all projects, the whole queue, workers, storage."""

from typing import Literal

from pydantic import Field

from service.schemas.common import Json, Utc, View
from service.schemas.people.quotas import QuotaView


class ProjectMember(View):
    """Somebody in a project."""

    name: str
    role: Literal["viewer", "member", "admin"]


class ProjectUseView(View):
    """A project with its people, what it uses, and its quotas."""

    id: str
    name: str
    created_at: Utc
    members: list[ProjectMember]
    queued: int
    running: int
    recent_s: float = Field(description="seconds of devices in all pools, which count half after a half-life")
    device_hours: float = Field(description="of this month (UTC); counted within the last minute, as are the bytes")
    upload_bytes: int
    checkpoint_bytes: int
    quotas: list[QuotaView]


class ProjectsUseView(View):
    """Projects by name."""

    items: list[ProjectUseView]
    next_after: str | None = Field(description="give it as `after` for the next ones; null: these were the last")


class WaitingRunView(View):
    """A waiting run of any project."""

    pool: str
    before: int = Field(description="runs of the pool that are expected to start before it")
    run_id: str
    experiment_id: str
    experiment: str
    project: str
    member: str
    seed: int
    priority: int
    waited_s: float
    reason: str = Field(description="why it has not started")


class WholeQueueView(View):
    """The first waiting runs of each pool, in the order in which they are expected to start."""

    items: list[WaitingRunView]
    waiting: int = Field(description="runs of all pools that could start now")


class BusyWorkerView(View):
    """A worker and what it trains."""

    name: str
    pool: str
    host: str
    version: str
    device: Json
    state: str = Field(description="starting, idle, busy, draining, drained, unhealthy or gone")
    detail: str | None
    beat_s: float = Field(description="seconds since it last said something, by the database's clock")
    drain_since: Utc | None = Field(description="when it was told to take no more runs; null: it may take them")
    drain_by: str | None
    run_id: str | None
    experiment_id: str | None
    experiment: str | None
    project: str | None
    member: str | None
    step: int | None
    total_steps: int | None


class BusyWorkersView(View):
    """All workers, those that have left last."""

    items: list[BusyWorkerView]


class ProjectStorageView(View):
    """What one project stores."""

    project_id: str
    project: str
    experiments: int
    points: int
    uploads: int
    upload_bytes: int
    checkpoints: int
    checkpoint_bytes: int


class ServerStorageView(View):
    """What all projects store, most first."""

    database_bytes: int
    items: list[ProjectStorageView]
