"""Routes of comparisons: create one, read it with current data, confirm it with new seeds."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.api.dependencies import (
    ComparisonId,
    ConnectionDep,
    ContextDep,
    PrincipalDep,
    body,
    json_body,
    optional_body,
)
from service.api.markdown import CREATED_IN_MARKDOWN, IN_MARKDOWN, Accept, in_form
from service.api.one_thread import OneThread
from service.api.replies import NotifyDep, created
from service.comparison import answer
from service.comparison.selection import check_question
from service.export.markdown.comparisons import comparison_markdown
from service.schemas.comparisons import ComparisonView, Question
from service.schemas.confirmations import ConfirmRequest, MoreSeedsRequest

router = APIRouter(prefix="/v1/comparisons", tags=["comparisons"], route_class=OneThread)


def checked_question(question: Annotated[Question, Depends(body(Question))]) -> Question:
    """Return the question; raise `Invalid` if it contradicts itself."""
    check_question(question)
    return question


@router.post(
    "",
    operation_id="post_comparison",
    status_code=201,
    response_model=ComparisonView,
    responses=CREATED_IN_MARKDOWN,
    openapi_extra=json_body(Question),
)
def post_comparison(
    question: Annotated[Question, Depends(checked_question)],
    principal: PrincipalDep,
    connection: ConnectionDep,
    notify: NotifyDep,
    response: Response,
    accept: Accept = None,
) -> ComparisonView | Response:
    """Store a comparison and evaluate it. The answer is JSON, or a short text with `Accept: text/markdown`."""
    made = created(answer.ask(connection, principal, question), response, notify)
    response.status_code = 201
    return in_form(accept, made, comparison_markdown, response)


@router.get("/{comparison_id}", operation_id="get_comparison", response_model=ComparisonView, responses=IN_MARKDOWN)
def get_comparison(
    comparison_id: ComparisonId,
    principal: PrincipalDep,
    connection: ConnectionDep,
    response: Response,
    accept: Accept = None,
) -> ComparisonView | Response:
    """Evaluate a stored comparison with the data stored now. JSON, or a short text with `Accept: text/markdown`."""
    found = answer.evaluate(connection, principal, comparison_id)
    return in_form(accept, found, comparison_markdown, response)


@router.post(
    "/{comparison_id}/confirm",
    operation_id="confirm_comparison",
    status_code=202,
    openapi_extra=json_body(ConfirmRequest, required=False),
)
def confirm_comparison(
    comparison_id: ComparisonId,
    request: Annotated[ConfirmRequest, Depends(optional_body(ConfirmRequest))],
    context: ContextDep,
    notify: NotifyDep,
    response: Response,
) -> ComparisonView:
    """Train the contestants with seeds that no run of any group has used; `confirmation` uses only these runs.

    The contestants are fixed now. A comparison has one confirmation: the same request again returns it. 409 if another
    request asks for other seeds or groups, if runs of the groups have not ended, or if there is nothing to confirm.
    """
    return created(answer.confirm(context, comparison_id, request), response, notify)


@router.post(
    "/{comparison_id}/confirm/extend",
    operation_id="extend_confirmation",
    status_code=202,
    openapi_extra=json_body(MoreSeedsRequest),
)
def extend_confirmation(
    comparison_id: ComparisonId,
    request: Annotated[MoreSeedsRequest, Depends(body(MoreSeedsRequest))],
    context: ContextDep,
    notify: NotifyDep,
    response: Response,
) -> ComparisonView:
    """Train the contestants of a confirmation with further fresh seeds, also while its runs have not ended.

    Allowed at any time and as often as one likes, because from then on `confirmation.sequential` alone tells, which is
    valid whenever one looks. 409 if there is no confirmation, if it is over folds, or if `after` is not what it has.
    """
    return created(answer.extend(context, comparison_id, request), response, notify)
