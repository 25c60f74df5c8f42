"""What a spec's dataset holds, written into the spec before it is checked: an upload's, or the mounted folder's."""

from service.db.access.projects import Principal
from service.db.experiments import datasets
from service.db.session import Connection
from service.ingest import mounted
from service.settings import Settings
from service.spec.experiment import Experiment


def resolve_datasets(connection: Connection, principal: Principal, settings: Settings, spec: Experiment) -> Experiment:
    """The spec with what its upload, or the mounted folder, holds; `Invalid` where it does not fit."""
    resolved = datasets.resolve(connection, principal, settings.dataset_dir, spec)
    return mounted.resolve(settings.dataset_folder, resolved)
