"""Confirm a comparison: train its contestants from fresh seeds and judge by these alone.

A contestant looks better on the seeds that selected it than it is. Fresh seeds have no part in the selection, which is
fixed when the confirmation starts.
"""

from collections.abc import Sequence

from service.analysis.power import FRESH_SEEDS
from service.analysis.result import diverged
from service.comparison.comparability import scale_mismatch, value_scale
from service.comparison.data import ComparisonData, load_data
from service.comparison.extension import rounds_of, seeds_of, unused_seeds
from service.comparison.ranking import Contestant, pick_contestants, rank, sort_best_first
from service.comparison.selection import RunGroup, Trial, select_groups
from service.comparison.sequential import sequential_view
from service.db.access.principal import Principal
from service.db.experiments import confirmations, experiments
from service.db.experiments.confirmations import StoredConfirmation
from service.db.experiments.experiments import NewExperiment
from service.db.runs import runs
from service.db.runs.runs import StoredRun
from service.db.session import Connection
from service.errors import Conflict, Invalid, Problem
from service.experiments.context import Context
from service.experiments.parsed_spec import parsed_spec
from service.experiments.variants import renamed, reseeded
from service.lifecycle import TERMINAL, Relation, State
from service.schemas.comparisons import Question
from service.schemas.confirmations import (
    MAX_CONTESTANTS,
    ConfirmationView,
    ConfirmRequest,
    ContestantView,
    SequentialView,
)
from service.schemas.rankings import Ranking, Verdict
from service.spec.validation_errors import closest

NAME_SUFFIX = ", confirmed with fresh seeds"


def start_confirmation(
    context: Context, comparison_id: str, question: Question, request: ConfirmRequest
) -> list[tuple[str, int]]:
    """Queue the contestants' fresh runs and return (pool, runs) for each; nothing where they were queued before."""
    connection, principal = context.connection, context.principal
    confirmations.lock(connection, comparison_id)
    if earlier := confirmations.of_comparison(connection, comparison_id):
        _check_same(connection, principal, earlier, request)
        return []
    if question.group == "run":
        raise Conflict("The groups are single runs, which differ in their seeds: group by experiment to confirm.")
    asked = _without_curves(question)
    data = load_data(connection, asked, select_groups(connection, principal, asked))
    found = sort_best_first(data, pick_contestants(data))
    ranking = rank(data, found)
    chosen = _select_contestants(found, request)
    _check(data, chosen)
    known = runs.all_of_experiments(connection, [each.experiment.id for m in data.groups for each in m.trials])
    _check_no_fork(chosen, known)
    folds = max(parsed_spec(each.trial.experiment).folds for each in chosen)
    suggested = -(-_suggested(ranking) // folds) * folds  # successive seeds have each fold as often
    seeds = unused_seeds({run.seed for run in known}, request.seeds or suggested)
    made = _train(context, chosen, seeds)
    confirmations.add(connection, comparison_id, made)
    return [(each.trial.runs[0].pool, len(seeds)) for each in chosen]


def _without_curves(question: Question) -> Question:
    """Return the question without curves and times."""
    return question.model_copy(update={"points": None, "target": None, "x": "step"})


def _suggested(ranking: Ranking) -> int:
    contrasts = [item.contrast for item in ranking.items if item.contrast]
    return contrasts[0].fresh_seeds if contrasts else FRESH_SEEDS[0]


def _select_contestants(found: Sequence[Contestant], request: ConfirmRequest) -> list[Contestant]:
    """Return the contestants of the named groups, best first; raise `Invalid` for a label that no group has."""
    labels = [each.label for each in found]
    if request.groups is None:
        if len(labels) > MAX_CONTESTANTS:
            detail = f"the comparison has {len(labels)} groups: name the ones to confirm."
            raise Invalid.of([Problem("/groups", "too_many_groups", detail, MAX_CONTESTANTS)])
        return list(found)
    problems = [
        Problem(f"/groups/{at}", "unknown_group", "no group has this label.", labels[:50], closest(label, labels))
        for at, label in enumerate(request.groups)
        if label not in labels
    ]
    if len(set(request.groups)) < len(request.groups):
        problems.append(Problem("/groups", "repeated", "give each label once."))
    if problems:
        raise Invalid.of(problems)
    return [each for each in found if each.label in request.groups]


def _check(data: ComparisonData, chosen: Sequence[Contestant]) -> None:
    """Raise `Conflict` where there is nothing to confirm, or not yet."""
    if len(chosen) < 2:
        raise Conflict("There is only one group, so there is nothing to confirm.")
    series = data.ranked
    open_runs = sum(run.state not in TERMINAL for each in chosen for run in each.group.runs)
    if open_runs:
        raise Conflict(
            f"{open_runs} of the groups' runs have not ended, so the ranking may still change: wait for them or "
            "cancel them."
        )
    if without := [each.label for each in chosen if not each.values]:
        raise Conflict(f"No values of {series} in: {', '.join(without)}. Name groups that have some.")
    scales = [value_scale(series, RunGroup(each.label, [each.trial])) for each in chosen]
    if fatal := next((detail for scale in scales[1:] if (detail := scale_mismatch(scales[0], scale))), None):
        raise Conflict(f"{fatal} Fresh seeds cannot change that.")


def _check_no_fork(chosen: Sequence[Contestant], known: Sequence[StoredRun]) -> None:
    """Raise `Conflict` for a fork: it continues from a state that one seed produced."""
    forks = {run.experiment_id for run in known if run.relation is Relation.FORK and run.origin_step}
    for each in chosen:
        if each.trial.experiment.id in forks:
            raise Conflict(
                f"{each.label}: experiment {each.trial.experiment.id} continues from a checkpoint, which fresh seeds "
                "do not have. Post its spec as a separate experiment and compare that."
            )


def _train(context: Context, chosen: Sequence[Contestant], seeds: tuple[int, ...]) -> list[StoredConfirmation]:
    """Queue the runs of each contestant."""
    made = context.add_many([_reseeded(each.trial, seeds) for each in chosen])
    return [
        StoredConfirmation(each.label, each.trial.experiment.id, each.choices, added.id)
        for each, added in zip(chosen, made, strict=True)
    ]


def _reseeded(trial: Trial, seeds: tuple[int, ...]) -> NewExperiment:
    spec = renamed(reseeded(parsed_spec(trial.experiment), seeds), NAME_SUFFIX)
    return NewExperiment(spec, trial.runs[0].pool)


def _check_same(
    connection: Connection, principal: Principal, earlier: Sequence[StoredConfirmation], request: ConfirmRequest
) -> None:
    """Raise `Conflict` where the request differs from the confirmation that exists."""
    seeds = experiments.get(connection, principal, earlier[0].experiment_id).spec["seeds"]
    labels = {each.label for each in earlier}
    if request.seeds not in (None, len(seeds)) or (request.groups is not None and set(request.groups) != labels):
        raise Conflict(
            f"The comparison already has a confirmation, with {len(seeds)} fresh seeds of {', '.join(sorted(labels))}. "
            "Delete its experiments to start another."
        )


def read_confirmation(
    connection: Connection, principal: Principal, comparison_id: str, question: Question
) -> ConfirmationView | None:
    """Return the state of the confirmation; None where none was started, or all its experiments lie in the bin."""
    stored = confirmations.of_comparison(connection, comparison_id)
    specs = experiments.find(connection, principal, [each.experiment_id for each in stored])
    stored = [each for each in stored if each.experiment_id in specs]
    if not stored:
        return None
    rounds = rounds_of(stored)
    fresh_runs = runs.of_experiments(connection, [each.experiment_id for each in stored])
    mine = {
        label: [run for run in fresh_runs if run.experiment_id in {each.experiment_id for each in of_label}]
        for label, of_label in rounds.items()
    }
    trials = [
        Trial(specs[of_label[0].experiment_id], list(filter(_counts, mine[label])), label)
        for label, of_label in rounds.items()
    ]
    data = _load_again(connection, question, [RunGroup(trial.label, [trial]) for trial in trials])
    ranking = rank(data, pick_contestants(data), settled=True)
    views = [_contestant(data, of_label, mine[label]) for label, of_label in rounds.items()]
    seeds = max((seeds_of(of_label, specs) for of_label in rounds.values()), key=len)
    done = all(run.state in TERMINAL for run in fresh_runs)
    extended = max(map(len, rounds.values())) - 1
    planned = ranking.verdict if done and not extended else None
    looked = sequential_view(data, trials, seeds, told=planned == "better")
    verdict = _extended_verdict(looked, done) if extended else planned
    led = verdict == "better" and ranking.items[0].label == stored[0].label
    return ConfirmationView(
        state="done" if done else "running",
        seeds=seeds,
        extended=extended,
        contestants=views,
        verdict=verdict,
        confirmed=None if verdict is None else led,
        sequential=looked,
        note=_extended_note(looked) if extended and looked and len(views) > 1 else _note(ranking, views, done),
        ranking=ranking,
        created_at=stored[0].created_at,
    )


def _extended_verdict(looked: SequentialView | None, done: bool) -> Verdict | None:
    """Return the verdict of a confirmation that was extended, which stands as soon as it is decided."""
    if looked is not None and looked.decided is not None:
        return "better"
    return "indistinguishable" if done else None


def _extended_note(looked: SequentialView) -> str:
    return f"On fresh seeds alone, which were extended: {looked.note}"


def _load_again(connection: Connection, question: Question, groups: list[RunGroup]) -> ComparisonData:
    """Load the data of the same question about these groups alone."""
    baseline = question.baseline if question.baseline in [group.label for group in groups] else None
    return load_data(connection, _without_curves(question).model_copy(update={"baseline": baseline}), groups)


def _has_result(run: StoredRun) -> bool:
    return run.state is State.SUCCEEDED or diverged(run, {})


def _counts(run: StoredRun) -> bool:
    """Return whether a run counts: one that was cancelled, or failed without diverging, says nothing about its spec."""
    return run.state not in TERMINAL or _has_result(run)


def _contestant(
    data: ComparisonData, rounds: Sequence[StoredConfirmation], found: Sequence[StoredRun]
) -> ContestantView:
    return ContestantView(
        label=rounds[0].label,
        trial_id=rounds[0].trial_id,
        trials=rounds[0].trials,
        experiment_id=rounds[0].experiment_id,
        experiment_ids=[each.experiment_id for each in rounds],
        runs=[run.id for run in found],
        ended=sum(map(_has_result, found)),
        diverged=sum(data.diverged(run) for run in found if _counts(run)),
        left_out=sum(not _counts(run) for run in found),
    )


def _note(ranking: Ranking, views: Sequence[ContestantView], done: bool) -> str:
    total, ended = sum(len(each.runs) for each in views), sum(each.ended for each in views)
    left_out = sum(each.left_out for each in views)
    if not done:
        return f"{ended + left_out} of {total} runs have ended; the verdict follows when all have."
    if len(views) < 2:
        return "The other contestants' experiments were deleted. Delete this one as well to start another confirmation."
    left = f" {left_out} of {total} runs have no result and are left out." if left_out else ""
    return f"On fresh seeds alone: {ranking.note}{left}"
