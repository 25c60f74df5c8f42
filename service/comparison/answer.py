"""The answer to a stored question, from what is stored of its runs now."""

from service.analysis.difference import difference
from service.comparison.comparability import comparability, is_incomplete, is_unfinished, warnings
from service.comparison.confirmation import begin, confirmation_of
from service.comparison.evidence import Evidence, gather, series_of
from service.comparison.ranking import contestants, rank
from service.comparison.selection import members
from service.comparison.time_to_target import target_view
from service.comparison.tuning_cost import efforts
from service.db.access.projects import Principal
from service.db.experiments import comparisons
from service.db.experiments.comparisons import StoredComparison
from service.db.session import Connection
from service.experiments.context import Context, Made
from service.nonfinite import dumps
from service.schemas.comparisons import ComparisonView, Differing, Group, Question
from service.schemas.confirmations import ConfirmRequest
from service.schemas.rankings import EffortView


def ask(connection: Connection, principal: Principal, question: Question) -> Made[ComparisonView]:
    """Store a question and answer it; raise `NotFound` or `Invalid` where it names what is not there."""
    members(connection, principal, question)
    comparison_id = comparisons.add(connection, principal, question.model_dump(mode="json"))
    return Made(evaluate(connection, principal, comparison_id), f"/v1/comparisons/{comparison_id}", True)


def confirm(context: Context, comparison_id: str, request: ConfirmRequest) -> Made[ComparisonView]:
    """Train the contestants of a stored question from fresh seeds, unless that was asked for before."""
    connection, principal = context.connection, context.principal
    stored = comparisons.get(connection, principal, comparison_id)
    queued = begin(context, comparison_id, _question(stored), request)
    answer = evaluate(connection, principal, comparison_id)
    return Made(answer, f"/v1/comparisons/{comparison_id}", bool(queued), tuple(queued))


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
