"""Experiments made from stored ones on somebody's behalf: the same spec with other seeds and another name."""

from dataclasses import dataclass

from service.api.resolve_data import resolve_data
from service.db import experiments
from service.db.projects import Principal
from service.db.queueing import Origin
from service.db.session import Connection
from service.settings import Settings
from service.spec.experiment import Experiment
from service.spec.forking import ended


@dataclass(frozen=True)
class Desk:
    """On whose behalf, and by which settings."""

    connection: Connection
    principal: Principal
    settings: Settings

    def resolve(self, spec: Experiment) -> Experiment:
        """With what an upload or the mounted folder holds."""
        return resolve_data(self.connection, self.principal, self.settings, spec)

    def add(self, spec: Experiment, pool: str, origin: Origin | None = None) -> str:
        """Store the experiment and queue its runs, as a posted one's are: its id."""
        limit = self.settings.max_run_s
        return experiments.add(self.connection, self.principal, spec, pool, max_run_s=limit, origin=origin)[0]


def reseeded(spec: Experiment, seeds: tuple[int, ...]) -> Experiment:
    """The same training with these seeds."""
    return spec.model_copy(update={"seeds": seeds, "restarts": None})


def renamed(spec: Experiment, ending: str) -> Experiment:
    """The same training, with `ending` after its name."""
    return spec.model_copy(update={"name": ended(spec.name, ending)})
