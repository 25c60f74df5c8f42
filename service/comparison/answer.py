"""Answer a stored question from its runs as they are now."""

from service.analysis.spec_difference import difference
from service.comparison.comparability import comparability, is_incomplete, is_unfinished, warnings
from service.comparison.confirmation import read_confirmation, start_confirmation
from service.comparison.data import ComparisonData, load_data, series_of
from service.comparison.extension import extend_confirmation
from service.comparison.ranking import pick_contestants, rank
from service.comparison.selection import select_groups
from service.comparison.time_to_target import target_view
from service.comparison.tuning_cost import tuning_costs
from service.db.access.principal import Principal
from service.db.experiments import comparisons
from service.db.experiments.comparisons import StoredComparison
from service.db.session import Connection
from service.experiments.context import Context, Made
from service.nonfinite import dumps
from service.schemas.comparisons import ComparisonView, Differing, Group, Question
from service.schemas.confirmations import ConfirmRequest, MoreSeedsRequest
from service.schemas.rankings import EffortView


def ask(connection: Connection, principal: Principal, question: Question) -> Made[ComparisonView]:
    """Store a question and answer it; raise `NotFound` or `Invalid` where it names something that does not exist."""
    select_groups(connection, principal, question)
    comparison_id = comparisons.add(connection, principal, question.model_dump(mode="json"))
    return Made(evaluate(connection, principal, comparison_id), f"/v1/comparisons/{comparison_id}", True)


def confirm(context: Context, comparison_id: str, request: ConfirmRequest) -> Made[ComparisonView]:
    """Train the contestants of a stored question from fresh seeds, unless they are already."""
    connection, principal = context.connection, context.principal
    stored = comparisons.get(connection, principal, comparison_id)
    queued = start_confirmation(context, comparison_id, _question(stored), request)
    answer = evaluate(connection, principal, comparison_id)
    return Made(answer, f"/v1/comparisons/{comparison_id}", bool(queued), tuple(queued))


def extend(context: Context, comparison_id: str, request: MoreSeedsRequest) -> Made[ComparisonView]:
    """Train the contestants of a stored question's confirmation from further fresh seeds."""
    connection, principal = context.connection, context.principal
    stored = comparisons.get(connection, principal, comparison_id)
    queued = extend_confirmation(context, comparison_id, _question(stored), request)
    answer = evaluate(connection, principal, comparison_id)
    return Made(answer, f"/v1/comparisons/{comparison_id}", True, tuple(queued))


def _question(stored: StoredComparison) -> Question:
    return Question.model_validate_json(dumps(stored.question))


def evaluate(connection: Connection, principal: Principal, comparison_id: str) -> ComparisonView:
    """Answer a stored question."""
    stored = comparisons.get(connection, principal, comparison_id)
    question = _question(stored)
    data = load_data(connection, question, select_groups(connection, principal, question))
    chosen, report = pick_contestants(data), comparability(data)
    specs = [trial.spec for group in data.groups for trial in group.trials]
    return ComparisonView(
        id=stored.id,
        created_at=stored.created_at,
        question=stored.question,
        groups=_groups(data, tuning_costs(connection, data, chosen)),
        difference={pointer: Differing(**row.as_json()) for pointer, row in difference(specs).items()},
        comparability=report,
        ranking=rank(data, chosen),
        confirmation=read_confirmation(connection, principal, comparison_id, data.question),
        target=target_view(data),
        warnings=warnings(data, report),
    )


def _groups(data: ComparisonData, spent: list[EffortView]) -> list[Group]:
    series = {name: series_of(data, name) for name in data.series}
    return [
        Group(
            label=group.label,
            experiment_id=group.trials[0].experiment.id,
            trials=[trial.experiment.id for trial in group.trials],
            trial_labels=[trial.label for trial in group.trials],
            runs=[run.id for run in group.runs],
            diverged=sum(map(data.diverged, group.runs)),
            incomplete=sum(is_incomplete(data, run) for run in group.runs),
            unfinished=sum(is_unfinished(run) for run in group.runs),
            effort=spent[place],
            series={name: series[name][place] for name in data.series},
        )
        for place, group in enumerate(data.groups)
    ]
