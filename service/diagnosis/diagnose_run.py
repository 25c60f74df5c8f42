"""What the rules say of a run: whole, when it is asked for; in short, to whoever follows it, when it has changed."""

from typing import NamedTuple

from service.db.access.projects import Principal
from service.db.experiments import experiments
from service.db.experiments.experiments import StoredExperiment
from service.db.runs import recorded, runs
from service.db.runs.runs import StoredRun
from service.db.session import Connection, Engine, snapshot
from service.diagnosis.diagnose import Diagnosis, diagnose
from service.diagnosis.plan import Plan
from service.diagnosis.run_record import RunRecord
from service.experiments.parsed_spec import parsed_spec
from service.nonfinite import dumps


class DiagnosisEvent(NamedTuple):
    """What was found, each with its level, and the message that says so."""

    found: tuple[str, ...]
    text: str


def diagnosis_event(engine: Engine, principal: Principal, run_id: str) -> DiagnosisEvent:
    """The run as it stands, in a thread. The message has no id, because it has no place among the run's events."""
    with snapshot(engine) as connection:
        run, found = diagnosis_of(connection, principal, run_id)
    findings = [{"id": v.rule.id, "verdict": v.finding.verdict, "level": v.finding.level} for v in found.findings]
    data = {"step": run.step, "level": found.level, "headline": found.headline, "findings": findings}
    told = (found.level, *(" ".join(each.values()) for each in findings))
    return DiagnosisEvent(told, f"event: diagnosis\ndata: {dumps(data)}\n\n")


def diagnosis_of(connection: Connection, principal: Principal, run_id: str) -> tuple[StoredRun, Diagnosis]:
    """A run and what the rules say of it now."""
    run = runs.get(connection, principal, run_id)
    (stored,) = experiments.get_many(connection, principal, [run.experiment_id])
    return run, diagnose(_facts(connection, principal, run, stored))


def _facts(connection: Connection, principal: Principal, run: StoredRun, stored: StoredExperiment) -> RunRecord:
    seeds, final_of = recorded.siblings(connection, run)
    return RunRecord(
        plan=Plan(parsed_spec(stored)),
        series=recorded.curves(connection, run.id),
        readings=recorded.probe_readings(connection, principal, run.id),
        state=run.state.value,
        step=run.step,
        failure=run.failure,
        siblings=seeds,
        final_of=final_of,
        origin=run.origin_step,
    )
