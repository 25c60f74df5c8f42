"""Routes of comparisons: ask one, read it again with what is stored by then, confirm it with fresh seeds."""

from typing import Annotated

from fastapi import APIRouter, BackgroundTasks, Depends, Response

from service.analysis.difference import difference
from service.api.comparability import comparability, is_incomplete, is_unfinished, warnings
from service.api.comparing import Evidence, gather, series_of
from service.api.comparison_views import ComparisonView, Differing, Group, Question
from service.api.confirmation_views import ConfirmOrder
from service.api.confirming import begin, confirmation_of
from service.api.deps import ComparisonId, ConnectionDep, PrincipalDep, RuntimeDep, body, optional_body, takes
from service.api.derived_experiments import Desk
from service.api.effort import efforts
from service.api.grouping import check, members
from service.api.offspring import told
from service.api.ranking import contestants, rank
from service.api.ranking_views import EffortView
from service.api.targeting import target_view
from service.db import comparisons
from service.db.comparisons import StoredComparison
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


@router.post(
    "/{comparison_id}/confirm",
    operation_id="confirm_comparison",
    status_code=202,
    openapi_extra=takes(ConfirmOrder, required=False),
)
def confirm_comparison(
    comparison_id: ComparisonId,
    order: Annotated[ConfirmOrder, Depends(optional_body(ConfirmOrder))],
    principal: PrincipalDep,
    runtime: RuntimeDep,
    connection: ConnectionDep,
    response: Response,
    tasks: BackgroundTasks,
) -> ComparisonView:
    """Train the contestants from seeds that no run of any group has used; `confirmation` then judges by these alone.

    The choice of contestants is frozen now. A comparison has one confirmation: asking again answers with it, and 409
    where other seeds or groups are asked for, the groups' runs have not ended, or there is nothing to confirm.
    """
    stored = comparisons.get(connection, principal, comparison_id)
    desk = Desk(connection, principal, runtime.settings)
    queued = begin(desk, comparison_id, _question(stored), order)
    for pool, count in queued:
        tasks.add_task(runtime.dispatcher.ring, pool, count)
    told(response, f"/v1/comparisons/{comparison_id}", bool(queued))
    return evaluate(connection, principal, comparison_id)


def _question(stored: StoredComparison) -> Question:
    return Question.model_validate_json(dumps(stored.question))


def evaluate(connection: Connection, principal: Principal, comparison_id: str) -> ComparisonView:
    """The answer to a stored question."""
    stored = comparisons.get(connection, principal, comparison_id)
    question = _question(stored)
    evidence = gather(connection, question, members(connection, principal, question))
    chosen, report = contestants(evidence), comparability(evidence)
    specs = [trial.spec for member in evidence.members for trial in member.trials]
    return ComparisonView(
        id=stored.id,
        created_at=stored.created_at,
        question=stored.question,
        groups=_groups(evidence, efforts(connection, evidence, chosen)),
        difference={pointer: Differing(**row.as_json()) for pointer, row in difference(specs).items()},
        comparability=report,
        ranking=rank(evidence, chosen),
        confirmation=confirmation_of(connection, principal, comparison_id, evidence.question),
        target=target_view(evidence),
        warnings=warnings(evidence, report),
    )


def _groups(evidence: Evidence, spent: list[EffortView]) -> list[Group]:
    series = {name: series_of(evidence, name) for name in evidence.series}
    return [
        Group(
            label=member.label,
            experiment_id=member.trials[0].experiment.id,
            trials=[trial.experiment.id for trial in member.trials],
            trial_labels=[trial.label for trial in member.trials],
            runs=[run.id for run in member.runs],
            diverged=sum(map(evidence.diverged, member.runs)),
            incomplete=sum(is_incomplete(evidence, run) for run in member.runs),
            unfinished=sum(is_unfinished(run) for run in member.runs),
            effort=spent[place],
            series={name: series[name][place] for name in evidence.series},
        )
        for place, member in enumerate(evidence.members)
    ]
