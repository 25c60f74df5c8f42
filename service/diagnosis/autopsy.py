"""The autopsy of a diverged run as a program that reproduces the step."""

from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.runs import probe_results, runs
from service.db.session import Connection
from service.errors import NotFound
from service.export.reproduction import script


def autopsy_script(connection: Connection, principal: Principal, run_id: str) -> str:
    """Return the program, or raise `NotFound` where the run has no autopsy that found something."""
    run = runs.get(connection, principal, run_id)
    autopsies = probe_results.of_run(connection, principal, run_id, "autopsy", 0, 1000)
    found = [each for each in autopsies if each.data.get("kind")]
    if not found:
        raise NotFound(f"Run {run_id} has no autopsy that found something: only a run that diverged is examined.")
    spec = experiments.get(connection, principal, run.experiment_id).spec
    threads = next((a.environment["threads"] for a in reversed(runs.attempts(connection, run_id)) if a.environment), 1)
    return script(run_id, run.seed, spec, found[-1].data, threads)
