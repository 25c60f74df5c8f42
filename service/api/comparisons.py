"""Routes of comparisons: ask one, read it again with what is stored by then."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.analysis.difference import difference
from service.api.comparing import answer, check, members
from service.api.comparison_views import ComparisonView, Differing, Question
from service.api.deps import ComparisonId, ConnectionDep, PrincipalDep, body, takes
from service.api.ranking import rank, warnings
from service.db import comparisons
from service.db.projects import Principal
from service.db.session import Connection
from service.nonfinite import dumps

router = APIRouter(prefix="/v1/comparisons", tags=["comparisons"])


def checked(question: Annotated[Question, Depends(body(Question))]) -> Question:
    """The question, without contradictions."""
    check(question)
    return question


@router.post("", operation_id="post_comparison", status_code=201, openapi_extra=takes(Question))
def post_comparison(
    question: Annotated[Question, Depends(checked)],
    principal: PrincipalDep,
    connection: ConnectionDep,
    response: Response,
) -> ComparisonView:
    """Store a question and answer it."""
    members(connection, principal, question)
    comparison_id = comparisons.add(connection, principal, question.model_dump(mode="json"))
    response.headers["Location"] = f"/v1/comparisons/{comparison_id}"
    return evaluate(connection, principal, comparison_id)


@router.get("/{comparison_id}", operation_id="get_comparison")
def get_comparison(comparison_id: ComparisonId, principal: PrincipalDep, connection: ConnectionDep) -> ComparisonView:
    """A stored question, answered with what is stored now."""
    return evaluate(connection, principal, comparison_id)


def evaluate(connection: Connection, principal: Principal, comparison_id: str) -> ComparisonView:
    """The answer to a stored question."""
    stored = comparisons.get(connection, principal, comparison_id)
    question = Question.model_validate_json(dumps(stored.question))
    found = members(connection, principal, question)
    groups = answer(connection, question, found)
    differing = difference([member.spec for member in found])
    return ComparisonView(
        id=stored.id,
        created_at=stored.created_at,
        question=stored.question,
        groups=groups,
        difference={pointer: Differing(**row.as_json()) for pointer, row in differing.items()},
        ranking=rank(groups, question.series[0]),
        warnings=warnings(found, groups, question.series),
    )
