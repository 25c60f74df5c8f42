"""Trying the remedy of a finding of a run's present diagnosis."""

from service.db.access.projects import Principal
from service.db.experiments import verifications
from service.db.runs import runs
from service.db.session import Connection
from service.diagnosis.answers import diagnosis_view
from service.diagnosis.diagnose_run import diagnosis_of
from service.errors import NotFound
from service.experiments.context import Context, Made
from service.schemas.common import Json
from service.schemas.verifications import VerificationView
from service.verification.answers import view_of
from service.verification.start import begin


def try_remedy(
    context: Context, run_id: str, finding: str, seeds: int, key: str | None = None
) -> Made[VerificationView]:
    """Queue runs with the remedy and without; raise `NotFound` for a finding that the diagnosis does not have."""
    connection, principal = context.connection, context.principal
    made, new = begin(context, run_id, _finding(connection, principal, run_id, finding), seeds, key)
    stored = verifications.of_finding(connection, principal, run_id, finding)
    (view,) = [view_of(connection, principal, each) for each in stored if each.id == made]
    queued = ((runs.get(connection, principal, run_id).pool, 2 * seeds),) if new else ()
    return Made(view, f"/v1/runs/{run_id}/diagnosis/{finding}/verify", new, queued)


def _finding(connection: Connection, principal: Principal, run_id: str, finding: str) -> Json:
    """Return the finding as the present diagnosis has it."""
    findings = diagnosis_view(*diagnosis_of(connection, principal, run_id)).findings
    for each in findings:
        if each.id == finding:
            return each.model_dump(mode="json")
    there = ", ".join(each.id for each in findings) or "none"
    raise NotFound(f"The run's diagnosis has no finding {finding}; its findings: {there}.")
