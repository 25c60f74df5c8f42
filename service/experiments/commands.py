"""Commands on all runs of an experiment: cancel, pause, resume."""

from collections.abc import Callable

from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.session import Connection
from service.experiments.answers import read_experiment
from service.schemas.experiments import ExperimentView

Command = Callable[[Connection, Principal, str], None]  # of service.db.runs.desired_state


def each_run(connection: Connection, principal: Principal, experiment_id: str, command: Command) -> ExperimentView:
    """Give the command to every run that takes it, and return the experiment."""
    experiments.get(connection, principal, experiment_id)
    command(connection, principal, experiment_id)
    return read_experiment(connection, principal, experiment_id)
