"""The routes of diagnoses: of a run, as it stands, and the rules and thresholds that they follow."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from service.analysis.diagnosis.facts import Facts
from service.analysis.diagnosis.judge import Diagnosis, diagnose
from service.analysis.diagnosis.plan import Plan
from service.analysis.diagnosis.rules import RULES
from service.analysis.diagnosis.text import readable
from service.analysis.diagnosis.thresholds import TABLE
from service.api.accepting import ASKED_AGAIN, chosen
from service.api.deps import ConnectionDep, PrincipalDep, RunId
from service.api.diagnosis_views import DiagnosisView, RulesView
from service.db import diagnosing, experiments, runs
from service.db.experiments import StoredExperiment
from service.db.projects import Principal
from service.db.runs import StoredRun
from service.db.session import Connection
from service.nonfinite import dumps
from service.spec.experiment import Experiment

router = APIRouter(prefix="/v1", tags=["diagnosis"])
TEXT, JSON = "text/plain", "application/json"
FORMS: dict[int | str, dict[str, Any]] = {200: {"content": {TEXT: {"schema": {"type": "string"}}}}}


@router.get(
    "/runs/{run_id}/diagnosis",
    operation_id="get_diagnosis",
    response_model=DiagnosisView,
    responses=FORMS,
)
def get_diagnosis(
    run_id: RunId,
    principal: PrincipalDep,
    connection: ConnectionDep,
    accept: Annotated[str | None, Header(max_length=1000, include_in_schema=False)] = None,
) -> Response:
    """Why the run learned or did not, also while it trains; JSON, or a text for people by `Accept: text/plain`."""
    media = chosen(accept, (JSON, TEXT))
    run, found = diagnosis_of(connection, principal, run_id)
    headers = {"Cache-Control": ASKED_AGAIN, "Vary": "Accept"}
    if media == TEXT:
        return Response(readable(found), media_type=TEXT, headers=headers)
    return Response(DiagnosisView.of(run, found).model_dump_json(), media_type=JSON, headers=headers)


@router.get("/diagnosis/rules", operation_id="list_diagnosis_rules")
async def list_diagnosis_rules() -> RulesView:
    """Every rule with its thresholds, each with its source."""
    return RulesView.of(RULES, TABLE)


def diagnosis_of(connection: Connection, principal: Principal, run_id: str) -> tuple[StoredRun, Diagnosis]:
    """A run and what the rules say of it now."""
    run = runs.get(connection, principal, run_id)
    (stored,) = experiments.some(connection, principal, [run.experiment_id])
    return run, diagnose(_facts(connection, principal, run, stored))


def _facts(connection: Connection, principal: Principal, run: StoredRun, stored: StoredExperiment) -> Facts:
    seeds, final_of = diagnosing.siblings(connection, run)
    return Facts(
        plan=_plan(_Known(stored.spec_hash, stored.spec)),
        series=diagnosing.curves(connection, run.id),
        readings=diagnosing.read_by_instruments(connection, principal, run.id),
        state=run.state.value,
        step=run.step,
        failure=run.failure,
        siblings=seeds,
        final_of=final_of,
    )


@dataclass(frozen=True)
class _Known:
    """A spec by its hash and by what the hash does not speak for."""

    spec_hash: str
    spec: Mapping[str, Any] = field(compare=False)


@lru_cache(maxsize=256)
def _plan(known: _Known) -> Plan:
    return Plan(Experiment.model_validate_json(dumps(known.spec)))
