"""Routes of diagnoses: of a run, the rules and thresholds behind them, and the script of a divergence."""

from typing import Any

from fastapi import APIRouter, Response

from service.api.content_negotiation import REVALIDATE, negotiate_media_type
from service.api.dependencies import ConnectionDep, PrincipalDep, RunId
from service.api.markdown import JSON, MARKDOWN, Accept
from service.api.one_thread import OneThread
from service.diagnosis.answers import diagnosis_view, rules_view
from service.diagnosis.autopsy import autopsy_script
from service.diagnosis.diagnose_run import explain
from service.diagnosis.rules.registry import RULES
from service.diagnosis.text import readable
from service.diagnosis.thresholds import TABLE
from service.export.markdown.diagnoses import diagnosis_markdown
from service.schemas.diagnosis import DiagnosisView, RulesView

router = APIRouter(prefix="/v1", tags=["diagnosis"], route_class=OneThread)
TEXT, PYTHON = "text/plain", "text/x-python"
FORMS: dict[int | str, dict[str, Any]] = {
    200: {"content": {each: {"schema": {"type": "string"}} for each in (TEXT, MARKDOWN)}}
}


@router.get("/runs/{run_id}/diagnosis", operation_id="get_diagnosis", response_model=DiagnosisView, responses=FORMS)
def get_diagnosis(
    run_id: RunId,
    principal: PrincipalDep,
    connection: ConnectionDep,
    accept: Accept = None,
) -> Response:
    """Explain why the run learned or did not, also while it trains.

    JSON, or text with `Accept: text/plain`, or with `text/markdown` a shorter one.
    """
    media = negotiate_media_type(accept, (JSON, TEXT, MARKDOWN))
    run, found, neighbour = explain(connection, principal, run_id)
    headers = {"Cache-Control": REVALIDATE, "Vary": "Accept"}
    if media == TEXT:
        return Response(readable(found, neighbour), media_type=TEXT, headers=headers)
    view = diagnosis_view(run, found, neighbour)
    if media == MARKDOWN:
        return Response(diagnosis_markdown(view), media_type=MARKDOWN, headers=headers)
    return Response(view.model_dump_json(), media_type=JSON, headers=headers)


@router.get(
    "/runs/{run_id}/autopsy.py",
    operation_id="get_autopsy_script",
    response_class=Response,
    responses={200: {"description": "The file.", "content": {PYTHON: {"schema": {"type": "string"}}}}},
)
def get_autopsy_script(run_id: RunId, principal: PrincipalDep, connection: ConnectionDep) -> Response:
    """Return a program that reproduces the first step with a non-finite number."""
    headers = {"Content-Disposition": f'attachment; filename="{run_id}-autopsy.py"'}
    return Response(autopsy_script(connection, principal, run_id), media_type=PYTHON, headers=headers)


@router.get("/diagnosis/rules", operation_id="list_diagnosis_rules")
async def list_diagnosis_rules() -> RulesView:
    """List every rule and its thresholds, with their sources."""
    return rules_view(RULES, TABLE)
