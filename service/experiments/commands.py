"""Commands on all runs of an experiment: cancel, pause, resume."""

from collections.abc import Callable
from contextlib import suppress

from service.db.access.projects import Principal
from service.db.experiments import experiments
from service.db.runs import runs
from service.db.runs.runs import StoredRun
from service.db.session import Connection
from service.errors import Conflict
from service.experiments.answers import read_experiment
from service.lifecycle import TERMINAL
from service.schemas.experiments import ExperimentView

Command = Callable[[Connection, Principal, str], StoredRun]  # of service.db.runs.desired_state


def each_run(connection: Connection, principal: Principal, experiment_id: str, command: Command) -> ExperimentView:
    """Give the command to every run that has not ended, and return the experiment."""
    experiments.get(connection, principal, experiment_id)
    for run in runs.all_of_experiments(connection, [experiment_id]):
        if run.state not in TERMINAL:
            with suppress(Conflict):  # it ended just now, or is being cancelled
                command(connection, principal, run.id)
    return read_experiment(connection, principal, experiment_id)
