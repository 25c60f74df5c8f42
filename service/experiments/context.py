"""Who asks, in which transaction, by which settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.db.access import quotas
from service.db.access.principal import Principal
from service.db.experiments import datasets, experiments
from service.db.experiments.experiments import AddedExperiment, NewExperiment
from service.db.runs.queue import Origin
from service.db.session import Connection
from service.errors import Invalid, Problem
from service.ingest import mounted
from service.settings import Settings
from service.spec.checkpoint_size import checkpoint_bytes, kept_checkpoints
from service.spec.experiment import Experiment
from service.storage.disk import free_bytes
from service.storage.factory import open_uploads

T = TypeVar("T")


def _free_for_checkpoints(settings: Settings) -> int | None:
    """Return what is free for checkpoints beyond the reserve; None where a bucket holds them."""
    if (settings.checkpoint_url or settings.storage_url or "file:").startswith("file:"):
        return max(free_bytes(settings.checkpoint_dir) - settings.disk_reserve_bytes, 0)
    return None


@dataclass(frozen=True)
class Context:
    """A request's transaction, principal and settings."""

    connection: Connection
    principal: Principal
    settings: Settings

    def resolve(self, spec: Experiment) -> Experiment:
        """Return the spec with what its uploads, or the mounted folder, hold; raise `Invalid` where it does not fit."""
        resolved = datasets.resolve(self.connection, self.principal, open_uploads(self.settings), spec)
        resolved = mounted.resolve(self.settings.dataset_folder, resolved)
        return datasets.resolve_start(self.connection, self.principal, resolved)

    def check_disk(self, spec: Experiment) -> int:
        """Return the bytes that the checkpoints of the spec's runs take; raise `Invalid` where they cannot fit."""
        needed, free = len(spec.seeds) * (checkpoint_bytes(spec) or 0), _free_for_checkpoints(self.settings)
        if free is not None and needed > free:
            detail = (
                f"{len(spec.seeds)} x {kept_checkpoints(spec)} checkpoints take about {needed / 1e9:,.3g} GB, and"
                f" {free / 1e9:,.3g} GB are free: keep fewer of them (keep_every), or choose a smaller model."
            )
            raise Invalid.of([Problem("/checkpoint", "disk_beyond", detail, {"bytes": free})])
        return needed

    def check_room(self, spec: Experiment) -> None:
        """Raise what storing the spec would raise for want of disk or quota."""
        quotas.admit(self.connection, self.principal, len(spec.seeds), self.check_disk(spec))

    def add(
        self,
        spec: Experiment,
        pool: str,
        origin: Origin | None = None,
        key: str | None = None,
        request_hash: str | None = None,
    ) -> AddedExperiment:
        """Store an experiment and queue its runs (see `experiments.add`)."""
        self.check_disk(spec)
        limit = self.settings.max_run_s
        return experiments.add(self.connection, self.principal, spec, pool, key, request_hash, limit, origin)

    def add_many(self, made: Sequence[NewExperiment]) -> list[AddedExperiment]:
        """Store several experiments and queue their runs."""
        return experiments.add_many(self.connection, self.principal, made, self.settings.max_run_s)


@dataclass(frozen=True)
class Made(Generic[T]):
    """Something that a request made, or that an earlier one with the same idempotency key had made."""

    answer: T
    location: str
    new: bool
    queued: tuple[tuple[str, int], ...] = ()  # pools, and how many runs now wait in each
