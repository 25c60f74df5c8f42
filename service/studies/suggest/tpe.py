"""The tree-structured Parzen estimator: Optuna's own, asked in a study that is made of the trials each time.

Multivariate, so that dimensions are modelled together, in groups where some are conditional; open trials count as bad
ones (constant liar), so that several trials at once differ.
"""

import heapq
import warnings
from functools import lru_cache
from types import ModuleType
from typing import Any

from service.spec.studies.dimensions import Choice, DimensionBase, Int, LogUniform, UniformRange
from service.spec.studies.samplers import Tpe
from service.spec.studies.space import Leaf, Point, draw, leaves
from service.studies.suggest.question import Placed, Question
from service.studies.trial import Trial, TrialState

LATEST, BEST = 150, 50  # trials that are told, by number and by value


def ask(question: Question) -> Point:
    """Return the point that Optuna's sampler suggests."""
    optuna, storage, tpe_sampler = _optuna()
    sampler = question.study.sampler
    assert isinstance(sampler, Tpe)
    placed = {each.trial.number: each for each in question.placed}
    # groups, for conditional dimensions, have been experimental since 2021
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    trials = _latest_and_best(question, [each.trial for each in placed.values()])
    told = question.of_each(trials, "optuna", lambda trial: _frozen(optuna, question, placed[trial.number]))
    search = optuna.create_study(
        storage=storage(told),
        direction=question.study.objective.direction + "imize",
        sampler=tpe_sampler(
            searched(optuna, question),
            seed=question.random().getrandbits(32),
            n_startup_trials=sampler.startup,
            multivariate=True,
            group=any(leaf.within for leaf in leaves(question.space)),
            constant_liar=True,
        ),
    )
    trial = search.ask()
    return draw(question.space, lambda leaf: _suggested(trial, leaf))


def searched(optuna: ModuleType, question: Question) -> dict[str, Any] | None:
    """Return the distributions that every trial has, by name; None where some depend on options."""
    found = {leaf.name: leaf for leaf in leaves(question.space) if leaf.dimension.count != 1}
    if any(leaf.within for leaf in found.values()):
        return None
    return {name: _distribution(optuna, found[name].dimension) for name in sorted(found)}


def _latest_and_best(question: Question, trials: list[Trial]) -> list[Trial]:
    """Return so many trials that an answer takes milliseconds; Optuna gives old ones little weight anyway."""
    if len(trials) <= LATEST + BEST:
        return trials
    old, latest = trials[:-LATEST], trials[-LATEST:]
    finished = [trial for trial in old if trial.state == TrialState.FINISHED]
    best = heapq.nsmallest(BEST, finished, key=lambda trial: (question.loss(trial), trial.number))
    return sorted([*best, *latest], key=lambda trial: trial.number)


def _suggested(trial: Any, leaf: Leaf) -> Any:
    dimension, name = leaf.dimension, leaf.name
    match dimension:
        case UniformRange():
            value: Any = trial.suggest_float(name, dimension.low, dimension.high)
        case LogUniform():
            value = trial.suggest_float(name, dimension.low, dimension.high, log=True)
        case Int():
            return trial.suggest_int(name, dimension.low, dimension.high, step=dimension.step, log=dimension.log)
        case Choice() if dimension.count > 1:
            return dimension.options[trial.suggest_categorical(name, range(dimension.count))].value
        case _:
            return dimension.at(0.0)
    return dimension.at(dimension.unit(value) or 0.0)  # rounded as every sampled number


def _frozen(optuna: ModuleType, question: Question, placed: Placed) -> Any:
    """Return a trial as Optuna stores it."""
    trial, sign = placed.trial, question.study.objective.sign
    state = optuna.trial.TrialState.RUNNING
    values: dict[str, Any] = {}
    if trial.state == TrialState.FINISHED:
        state = optuna.trial.TrialState.COMPLETE
        values = {"value": sign * float("inf") if trial.value is None else trial.value}
    elif trial.judged:
        state = optuna.trial.TrialState.PRUNED
        nan = float("nan")
        values = {"intermediate_values": {at: nan if each is None else each for at, each in enumerate(trial.rungs)}}
    searched = {name: leaf for name, (leaf, _) in placed.units.items() if leaf.dimension.count != 1}
    return optuna.trial.create_trial(
        state=state,
        params={name: _as_parameter(leaf.dimension, trial.point[leaf.pointer]) for name, leaf in searched.items()},
        distributions={name: _distribution(optuna, leaf.dimension) for name, leaf in searched.items()},
        **values,
    )


def _as_parameter(dimension: DimensionBase, value: Any) -> Any:
    return dimension.position(value) if isinstance(dimension, Choice) else value


def _distribution(optuna: ModuleType, dimension: DimensionBase) -> Any:
    of = optuna.distributions
    match dimension:
        case UniformRange() | LogUniform():
            return of.FloatDistribution(dimension.low, dimension.high, log=isinstance(dimension, LogUniform))
        case Int():
            return of.IntDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)
        case _:
            return of.CategoricalDistribution(range(dimension.count or 0))


@lru_cache(maxsize=1)
def _optuna() -> tuple[ModuleType, Any, Any]:
    """Return Optuna, a storage that starts with given trials, and a sampler that knows what is searched.

    Importing it takes half a second, on first use.
    """
    import optuna  # noqa: PLC0415
    from optuna.storages import InMemoryStorage  # noqa: PLC0415
    from optuna.trial import FrozenTrial  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    class Told(InMemoryStorage):
        """Trials without a copy: adding a thousand to Optuna's own storage takes 50 ms."""

        def __init__(self, trials: list[FrozenTrial]) -> None:
            super().__init__()
            self.told = trials

        def get_all_trials(self, study_id: int, deepcopy: bool = True, states: Any | None = None) -> list[FrozenTrial]:
            """Return the given trials, then the one that is being asked."""
            own = super().get_all_trials(study_id, deepcopy, states)
            return [each for each in self.told if states is None or each.state in states] + own

    class Sampler(optuna.samplers.TPESampler):
        """Does not work out from all trials what they have in common, where that is known: 1 ms of an ask of 15."""

        def __init__(self, known: dict[str, Any] | None, **options: Any) -> None:
            super().__init__(**options)
            self.known = known

        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
            """Return the distributions that are sampled together."""
            return super().infer_relative_search_space(study, trial) if self.known is None else self.known

    return optuna, Told, Sampler
