"""Extend a confirmation: train its contestants from further fresh seeds, at any time.

The planned seeds' verdict would not survive that: adding seeds until it pleases is how luck is found. The test of
`service.comparison.sequential` does, so it alone tells from then on. Whoever extends has seen the planned verdict, so
the two share the 5 %: 4 are the planned seeds', 1 is the sequential test's.
"""

from collections.abc import Sequence
from itertools import chain, islice

from service.comparison.selection import folds_of_document, select_groups
from service.db.access.principal import Principal
from service.db.experiments import confirmations, experiments
from service.db.experiments.confirmations import StoredConfirmation
from service.db.experiments.experiments import NewExperiment, StoredExperiment
from service.db.runs import runs
from service.db.session import Connection
from service.errors import Conflict
from service.experiments.context import Context
from service.experiments.parsed_spec import parsed_spec
from service.experiments.variants import reseeded
from service.schemas.comparisons import Question
from service.schemas.confirmations import MAX_FRESH_SEEDS, MoreSeedsRequest

SEED_END = 2**63


def unused_seeds(used: set[int], count: int) -> tuple[int, ...]:
    """Return the first `count` seeds above those used, and then the smallest unused ones."""
    beyond = chain(range(max(used, default=-1) + 1, SEED_END), (seed for seed in range(SEED_END) if seed not in used))
    return tuple(islice(beyond, count))


def rounds_of(stored: Sequence[StoredConfirmation]) -> dict[str, list[StoredConfirmation]]:
    """Return label -> what trains that contestant: the first experiment, and one for each extension."""
    found: dict[str, list[StoredConfirmation]] = {}
    for each in stored:
        found.setdefault(each.label, []).append(each)
    return found


def seeds_of(rounds: Sequence[StoredConfirmation], specs: dict[str, StoredExperiment]) -> list[int]:
    """Return the fresh seeds of a contestant, in the order in which they were added."""
    return [seed for each in rounds for seed in specs[each.experiment_id].spec["seeds"]]


def extend_confirmation(
    context: Context, comparison_id: str, question: Question, request: MoreSeedsRequest
) -> list[tuple[str, int]]:
    """Queue further runs of each contestant; return (pool, runs) for each."""
    connection, principal = context.connection, context.principal
    confirmations.lock(connection, comparison_id)
    stored = confirmations.of_comparison(connection, comparison_id)
    specs = experiments.find(connection, principal, [each.experiment_id for each in stored])
    rounds = rounds_of([each for each in stored if each.experiment_id in specs])
    if len(rounds) < 2:
        raise Conflict("There is no confirmation of two contestants to extend: start one with /confirm.")
    firsts = [specs[each[0].experiment_id] for each in rounds.values()]
    if any(folds_of_document(each.spec) > 1 for each in firsts):
        raise Conflict(
            "Its runs validate on folds of the same rows, which are not independent: more of them cannot be judged "
            "while they come in. Post the comparison again and confirm it with more seeds."
        )
    _check_count(len(seeds_of(next(iter(rounds.values())), specs)), request)
    known = runs.all_of_experiments(connection, _all_experiments(connection, principal, question, stored))
    seeds = unused_seeds({run.seed for run in known}, request.seeds)
    pools = {run.experiment_id: run.pool for run in known}
    made = context.add_many([NewExperiment(reseeded(parsed_spec(each), seeds), pools[each.id]) for each in firsts])
    added = [
        StoredConfirmation(label, each[0].trial_id, each[0].trials, new.id)
        for (label, each), new in zip(rounds.items(), made, strict=True)
    ]
    confirmations.add(connection, comparison_id, added)
    return [(pools[each.id], len(seeds)) for each in firsts]


def _check_count(there: int, request: MoreSeedsRequest) -> None:
    """Raise `Conflict` where others have extended it since, or there would be too many seeds."""
    if request.after not in (None, there):
        raise Conflict(f"The confirmation has {there} fresh seeds by now, not {request.after}: read it again.")
    if there + request.seeds > MAX_FRESH_SEEDS:
        raise Conflict(f"A confirmation has at most {MAX_FRESH_SEEDS} fresh seeds; it has {there}.")


def _all_experiments(
    connection: Connection, principal: Principal, question: Question, stored: Sequence[StoredConfirmation]
) -> list[str]:
    """Return the experiments whose seeds are not fresh: those of the groups, and of the confirmation so far."""
    groups = select_groups(connection, principal, question)
    compared = [trial.experiment.id for group in groups for trial in group.trials]
    return list(dict.fromkeys([*compared, *(each.experiment_id for each in stored)]))
