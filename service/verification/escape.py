"""Remedies that escape from a saddle: a probe job finds the way out, then the remedy's runs fork from its state."""

from service.db.access.projects import of_member
from service.db.experiments import experiments, verifications
from service.db.experiments.verifications import StoredVerification
from service.db.runs import checkpoints, runs
from service.db.runs.queue import Origin
from service.db.session import Engine, transaction
from service.errors import SaddleError
from service.experiments.context import Context
from service.experiments.parsed_spec import parsed_spec
from service.experiments.variants import reseeded
from service.lifecycle import Relation, State
from service.schemas.common import Json
from service.settings import Settings
from service.spec.parse.document import validate
from service.spec.probe_jobs import ProbeTask
from service.verification.remedy_specs import extend_past, name_side

ESCAPE_VERDICTS = ("strict_saddle",)  # verdicts whose remedy is the way out, not a patch


def probe_task() -> Json:
    """Return the probe job that looks for the way out, with its defaults filled in."""
    return validate(ProbeTask, {"probes": [{"kind": "critical_point"}]}).model_dump(mode="json")


def fork_after_probes(engine: Engine, settings: Settings) -> list[tuple[str, int]]:
    """Queue the remedy's runs of every verification whose probe job has ended; return (pool, runs) for each."""
    queued: list[tuple[str, int]] = []
    while True:  # one transaction each, so that another process takes others meanwhile
        with transaction(engine) as connection:
            found = verifications.lock_due(connection)
            if found is None:
                return queued
            stored, owner_id, key_id = found
            pool = _fork(Context(connection, of_member(connection, owner_id, key_id), settings), stored)
        if pool is not None:
            queued.append((pool, len(stored.seeds)))


def _fork(context: Context, stored: StoredVerification) -> str | None:
    """Queue the runs and return their pool, or record why not and return None."""
    connection = context.connection
    try:
        assert stored.job_id is not None
        job = runs.get(connection, context.principal, stored.job_id, lock=True)
        left = [each for each in checkpoints.usable(connection, job.id) if each.step == stored.from_step]
        if job.state is not State.SUCCEEDED or not left:
            how = "found no lower point" if job.state is State.SUCCEEDED else f"has {job.state.value}"
            verifications.record_failure(connection, stored, f"No way out of the saddle was found: the job {how}.")
            return None
        spec = parsed_spec(experiments.get(connection, context.principal, job.experiment_id))
        patched = name_side(extend_past(reseeded(spec, stored.seeds), stored.from_step), stored.found, "with")
        origin = Origin(job.id, Relation.FORK, left[0].attempt, left[0].step)
        verifications.attach_patched(connection, stored, context.add(patched, job.pool, origin).id)
    except SaddleError as error:  # the job or its experiment was deleted
        verifications.record_failure(connection, stored, f"The remedy can no longer be tried: {error.detail}")
        return None
    return job.pool
