"""Diagnose stored runs: whole on request, and in short as an event for whoever follows a run."""

from collections.abc import Collection
from typing import NamedTuple

from service.db.access.principal import Principal
from service.db.experiments import experiments
from service.db.runs import run_data, runs
from service.db.runs.runs import StoredRun
from service.db.session import Connection, Engine, snapshot
from service.diagnosis.diagnose import Diagnosis, diagnose
from service.diagnosis.neighbours import Neighbour, find_neighbour, wanted
from service.diagnosis.plan import Plan
from service.diagnosis.run_record import RunRecord
from service.experiments.parsed_spec import parsed_spec
from service.nonfinite import dumps


class DiagnosisEvent(NamedTuple):
    """The diagnosis in short, to see whether it has changed, and the message that says so."""

    found: tuple[str, ...]  # the overall level, then each finding
    text: str


def diagnosis_event(engine: Engine, principal: Principal, run_id: str) -> DiagnosisEvent:
    """Diagnose a run now. Call it in a thread. The message has no id: it has no position among the run's events."""
    with snapshot(engine) as connection:
        run, diagnosis = diagnosis_of(connection, principal, run_id)
    findings = [
        {"id": each.rule.id, "verdict": each.finding.verdict, "level": each.finding.level}
        for each in diagnosis.findings
    ]
    data = {"step": run.step, "level": diagnosis.level, "headline": diagnosis.headline, "findings": findings}
    found = (diagnosis.level, *(" ".join(each.values()) for each in findings))
    return DiagnosisEvent(found, f"event: diagnosis\ndata: {dumps(data)}\n\n")


def explain(connection: Connection, principal: Principal, run_id: str) -> tuple[StoredRun, Diagnosis, Neighbour | None]:
    """Return a run, its diagnosis now, and the most similar run that went well where something is wrong."""
    run = runs.get(connection, principal, run_id)
    record = records(connection, principal, [run])[run_id]
    found = diagnose(record)
    return run, found, find_neighbour(connection, principal, record, run) if wanted(found) else None


def diagnosis_of(connection: Connection, principal: Principal, run_id: str) -> tuple[StoredRun, Diagnosis]:
    """Return a run and its diagnosis now."""
    run = runs.get(connection, principal, run_id)
    return run, diagnose_runs(connection, principal, [run])[run_id]


def diagnose_runs(connection: Connection, principal: Principal, found: Collection[StoredRun]) -> dict[str, Diagnosis]:
    """Return the diagnosis of each run, by id."""
    return {run_id: diagnose(record) for run_id, record in records(connection, principal, found).items()}


def records(connection: Connection, principal: Principal, found: Collection[StoredRun]) -> dict[str, RunRecord]:
    """Return what a diagnosis is based on, of each run, by id."""
    run_ids, experiment_ids = [run.id for run in found], list(dict.fromkeys(run.experiment_id for run in found))
    specs = experiments.find(connection, principal, experiment_ids)
    curves, readings = run_data.curves(connection, run_ids), run_data.probe_readings(connection, run_ids)
    siblings = run_data.siblings(connection, experiment_ids)
    return {
        run.id: RunRecord(
            plan=Plan(parsed_spec(specs[run.experiment_id])),
            series=curves[run.id],
            readings=readings[run.id],
            state=run.state.value,
            step=run.step,
            failure=run.failure,
            siblings=siblings[run.experiment_id][0],
            final_of=siblings[run.experiment_id][1],
            origin=run.origin_step,
        )
        for run in found
    }
