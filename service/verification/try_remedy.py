"""Try the remedy of a finding: queue runs without it and runs with it, from the same state.

The state is the newest kept checkpoint before the symptom, or the run's beginning. A remedy that escapes from a saddle
starts with a probe job at the saddle; see `escape` for what follows.
"""

from functools import partial

from service.db.experiments import experiments, verifications
from service.db.experiments.verifications import NewVerification
from service.db.runs import checkpoints, derived_runs, runs
from service.db.runs.queue import Origin
from service.db.runs.runs import StoredRun
from service.db.session import Connection
from service.diagnosis.answers import diagnosis_view
from service.diagnosis.diagnose_run import diagnosis_of
from service.errors import Conflict, NotFound
from service.experiments.context import Context, Made
from service.experiments.parsed_spec import parsed_spec
from service.experiments.variants import reseeded
from service.lifecycle import Relation
from service.schemas.common import Json
from service.schemas.verifications import VerificationView
from service.spec.experiment import Experiment
from service.spec.parse.fork import fork_problems
from service.verification.answers import verification_views
from service.verification.escape import ESCAPE_VERDICTS, probe_task
from service.verification.remedy_specs import apply_remedy, extend_past, name_side


def try_remedy(
    context: Context, run_id: str, finding_id: str, seeds: int, key: str | None = None
) -> Made[VerificationView]:
    """Queue runs with the remedy and without; raise `NotFound` for a finding that the diagnosis does not have."""
    connection, principal = context.connection, context.principal
    made, new = _start(context, run_id, find_finding(context, run_id, finding_id), seeds, key)
    stored = verifications.of_finding(connection, principal, run_id, finding_id)
    (view,) = verification_views(connection, principal, [each for each in stored if each.id == made])
    queued = ((runs.get(connection, principal, run_id).pool, 2 * seeds),) if new else ()
    return Made(view, f"/v1/runs/{run_id}/diagnosis/{finding_id}/verify", new, queued)


def find_finding(context: Context, run_id: str, finding_id: str) -> Json:
    """Return the finding as the present diagnosis has it."""
    findings = diagnosis_view(*diagnosis_of(context.connection, context.principal, run_id)).findings
    for each in findings:
        if each.id == finding_id:
            return each.model_dump(mode="json")
    known = ", ".join(f"{each.id} ({each.verdict})" for each in findings) or "none"
    raise NotFound(f"The run's diagnosis has no finding {finding_id}; its findings: {known}.")


def _start(context: Context, run_id: str, finding: Json, seeds: int, key: str | None) -> tuple[str, bool]:
    """Queue the runs; return the verification's id, and whether it is new. Raise `Conflict` where it has no remedy."""
    connection, principal = context.connection, context.principal
    parent = runs.get(connection, principal, run_id, lock=True)
    if earlier := verifications.earlier(connection, run_id, finding["id"], seeds, key):
        return earlier, False
    spec = parsed_spec(experiments.get(connection, principal, parent.experiment_id))
    control = reseeded(spec, tuple(range(parent.seed, parent.seed + seeds)))
    escapes = finding["verdict"] in ESCAPE_VERDICTS
    if not (escapes or finding["patch"]):
        raise Conflict(f"Finding {finding['id']} has no remedy that can be tried.")
    patched = None if escapes else apply_remedy(context, control, finding["patch"])
    origin = _origin(connection, parent, finding, patched, spec)
    derived_runs.check_origin_exists(connection, parent, origin)
    if patched is None:
        control = extend_past(control, origin.step)
    control_id = context.add(name_side(control, finding, "without"), parent.pool, origin).id
    job_id = patched_id = None
    if patched is None:
        job_id, _ = derived_runs.probe(connection, principal, run_id, probe_task(), origin.step)
    else:
        patched_id = context.add(name_side(patched, finding, "with"), parent.pool, origin).id
    new = NewVerification(finding, control.seeds, origin.step, control_id, job_id, patched_id)
    return verifications.add(connection, principal, parent, new, key), True


def _origin(
    connection: Connection, parent: StoredRun, finding: Json, patched: Experiment | None, spec: Experiment
) -> Origin:
    """Return where both sides start. A remedy whose model cannot load the checkpoints starts from the beginning."""
    first, last = finding["steps"] or (0, 0)
    kept = checkpoints.usable(connection, parent.id)
    chosen = None
    if patched is None:  # at the saddle
        chosen = next((each for each in kept if first <= each.step <= max(first, last)), None)
    else:
        problems = partial(fork_problems, spec, patched.model_copy(update={"seeds": spec.seeds[:1]}), loads=True)
        chosen = next((each for each in kept if each.step < first and not list(problems(step=each.step))), None)
        if chosen is None and list(problems(step=parent.origin_step)):
            return Origin(parent.id, Relation.FORK)
    if chosen is None:
        return Origin(parent.id, Relation.FORK, None, parent.origin_step)
    return Origin(parent.id, Relation.FORK, chosen.attempt, chosen.step)
