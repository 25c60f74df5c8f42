"""Routes of studies: post one, list and read them, their trials."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from service.api.dependencies import (
    ConnectionDep,
    ContextDep,
    Document,
    PrincipalDep,
    body,
    id_path,
    json_body,
)
from service.api.markdown import IN_MARKDOWN, Accept, in_form
from service.api.one_thread import OneThread
from service.api.paging import Cursor, Limit, NumberCursor, page_of
from service.api.replies import DryRun, IdempotencyKey, NotifyDep, created
from service.db.studies import studies
from service.export.markdown.studies import study_markdown
from service.schemas.studies.analysis import StudyAnalysis, StudyPresets
from service.schemas.studies.answers import StudiesPage, StudyPreview, StudyView, TrialsPage, TrialView
from service.schemas.studies.requests import TrialRequest
from service.spec.studies.study import Study
from service.studies import answers, commands
from service.studies.analysis import analyse_study
from service.studies.documents import study_presets
from service.studies.estimate import preview_study
from service.studies.presets import PRESETS

router = APIRouter(prefix="/v1/studies", tags=["studies"], route_class=OneThread)
StudyId = Annotated[str, id_path("std")]
DRY_RUN: dict[int | str, dict[str, Any]] = {200: {"model": StudyPreview, "description": "Dry run, nothing stored."}}
FROM_PRESET: dict[str, Any] = {
    "type": "object",
    "required": ["preset"],
    "properties": {
        "preset": {"type": "string", "enum": list(PRESETS), "description": "the study to start from"},
        "base": {"type": "object", "description": "the spec that it changes"},
    },
}
TrialLimit = Annotated[int, Query(ge=1, le=1000, description="trials in a page")]


@router.post(
    "", operation_id="post_study", status_code=201, responses=DRY_RUN, openapi_extra=json_body(Study, FROM_PRESET)
)
def post_study(
    document: Document,
    context: ContextDep,
    notify: NotifyDep,
    response: Response,
    dry_run: DryRun = False,
    idempotency_key: IdempotencyKey = None,
) -> StudyView | StudyPreview:
    """Search a space of specs within a budget. Each trial is an experiment; the first ones follow within a second.

    A document may name a `preset` of studies, with a `base` and the fields that differ.

    A dry run answers with the first points, the cost with its interval, and warnings.
    """
    if dry_run:
        response.status_code = 200
        return preview_study(context, document)
    return created(commands.post_study(context, document, idempotency_key), response, notify)


@router.get("", operation_id="list_studies")
def list_studies(
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> StudiesPage:
    """List the project's studies, newest first."""
    found = studies.page(connection, principal, limit + 1, cursor)
    items, next_cursor = page_of(found, limit, request, response)
    return StudiesPage(items=answers.study_items(connection, items), next_cursor=next_cursor)


@router.get("/presets", operation_id="list_study_presets")
def list_study_presets() -> StudyPresets:
    """List studies for the usual questions: post `{"preset": name, "base": spec}` and the fields that differ."""
    return study_presets()


@router.get("/{study_id}", operation_id="get_study", response_model=StudyView, responses=IN_MARKDOWN)
def get_study(
    study_id: StudyId, principal: PrincipalDep, connection: ConnectionDep, response: Response, accept: Accept = None
) -> StudyView | Response:
    """Return a study: its state, its budget used and saved, its best trial so far, and its confirmation.

    JSON, or a short text with `Accept: text/markdown`.
    """
    return in_form(accept, answers.read_study(connection, principal, study_id), study_markdown, response)


@router.get("/{study_id}/analysis", operation_id="get_study_analysis")
def get_study_analysis(study_id: StudyId, principal: PrincipalDep, connection: ConnectionDep) -> StudyAnalysis:
    """Return the duel of the scientific values, borders with patches, times to targets, and what matters how much."""
    return analyse_study(connection, principal, study_id)


@router.get("/{study_id}/trials", operation_id="list_trials")
def list_trials(
    study_id: StudyId,
    principal: PrincipalDep,
    connection: ConnectionDep,
    limit: TrialLimit = 1000,
    cursor: NumberCursor = None,
) -> TrialsPage:
    """List the trials by number: points, states, values at the rungs and at the end."""
    return answers.trials_page(connection, principal, study_id, limit, None if cursor is None else int(cursor))


@router.post("/{study_id}/trials", operation_id="post_trial", status_code=201, openapi_extra=json_body(TrialRequest))
def post_trial(
    study_id: StudyId,
    asked: Annotated[TrialRequest, Depends(body(TrialRequest))],
    context: ContextDep,
    notify: NotifyDep,
    response: Response,
) -> TrialView:
    """Add a trial by hand: it counts in the budget, and the sampler learns from it as from its own."""
    return created(commands.add_trial(context, study_id, asked), response, notify)
