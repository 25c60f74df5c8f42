"""Routes of comparisons: ask one, read it again with what is stored by then, confirm it with fresh seeds."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.api.dependencies import (
    ComparisonId,
    ConnectionDep,
    ContextDep,
    PrincipalDep,
    body,
    optional_body,
    request_body,
)
from service.api.replies import NotifyDep, created
from service.comparison import answer
from service.comparison.selection import check_question
from service.schemas.comparisons import ComparisonView, Question
from service.schemas.confirmations import ConfirmRequest

router = APIRouter(prefix="/v1/comparisons", tags=["comparisons"])


def checked_question(question: Annotated[Question, Depends(body(Question))]) -> Question:
    """The question, without contradictions."""
    check_question(question)
    return question


@router.post("", operation_id="post_comparison", status_code=201, openapi_extra=request_body(Question))
def post_comparison(
    question: Annotated[Question, Depends(checked_question)],
    principal: PrincipalDep,
    connection: ConnectionDep,
    notify: NotifyDep,
    response: Response,
) -> ComparisonView:
    """Store a question and answer it."""
    return created(answer.ask(connection, principal, question), response, notify)


@router.get("/{comparison_id}", operation_id="get_comparison")
def get_comparison(comparison_id: ComparisonId, principal: PrincipalDep, connection: ConnectionDep) -> ComparisonView:
    """A stored question, answered with what is stored now."""
    return answer.evaluate(connection, principal, comparison_id)


@router.post(
    "/{comparison_id}/confirm",
    operation_id="confirm_comparison",
    status_code=202,
    openapi_extra=request_body(ConfirmRequest, required=False),
)
def confirm_comparison(
    comparison_id: ComparisonId,
    request: Annotated[ConfirmRequest, Depends(optional_body(ConfirmRequest))],
    context: ContextDep,
    notify: NotifyDep,
    response: Response,
) -> ComparisonView:
    """Train the contestants from seeds that no run of any group has used; `confirmation` then judges by these alone.

    The choice of contestants is frozen now. A comparison has one confirmation: asking again answers with it, and 409
    where other seeds or groups are asked for, the groups' runs have not ended, or there is nothing to confirm.
    """
    return created(answer.confirm(context, comparison_id, request), response, notify)
