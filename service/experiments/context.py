"""Who asks, in which transaction, by which settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.db.access.principal import Principal
from service.db.experiments import datasets, experiments
from service.db.experiments.experiments import AddedExperiment, NewExperiment
from service.db.runs.queue import Origin
from service.db.session import Connection
from service.ingest import mounted
from service.settings import Settings
from service.spec.experiment import Experiment
from service.storage.factory import open_uploads

T = TypeVar("T")


@dataclass(frozen=True)
class Context:
    """A request's transaction, principal and settings."""

    connection: Connection
    principal: Principal
    settings: Settings

    def resolve(self, spec: Experiment) -> Experiment:
        """Return the spec with what its upload, or the mounted folder, holds; raise `Invalid` where it does not fit."""
        resolved = datasets.resolve(self.connection, self.principal, open_uploads(self.settings), spec)
        return mounted.resolve(self.settings.dataset_folder, resolved)

    def add(
        self,
        spec: Experiment,
        pool: str,
        origin: Origin | None = None,
        key: str | None = None,
        request_hash: str | None = None,
    ) -> AddedExperiment:
        """Store an experiment and queue its runs (see `experiments.add`)."""
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
