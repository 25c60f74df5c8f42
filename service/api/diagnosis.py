"""The routes of diagnoses: of a run, as it stands, and the rules and thresholds that they follow."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from service.analysis.diagnosis.rules import RULES
from service.analysis.diagnosis.text import readable
from service.analysis.diagnosis.thresholds import TABLE
from service.api.accepting import ASKED_AGAIN, chosen
from service.api.deps import ConnectionDep, PrincipalDep, RunId
from service.api.diagnosis_views import DiagnosisView, RulesView
from service.api.opinions import diagnosis_of

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
