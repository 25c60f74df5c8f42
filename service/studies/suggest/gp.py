"""Bayesian optimisation with our own small Gaussian process: Optuna's needs torch, which no API process loads."""

from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate

from service.analysis.expected_improvement import Axis, Encoding, fitted, propose
from service.analysis.gaussian_process import Hyperparameters
from service.spec.studies.dimensions import Choice, DimensionBase, Int
from service.spec.studies.samplers import Gp
from service.spec.studies.space import Leaf, Point, leaves
from service.studies.suggest import sobol
from service.studies.suggest.question import Placed, Question
from service.studies.trial import Trial

LEVELS = 64  # whole numbers of more values are as good as continuous
REFIT_SHARE = 0.1  # hyperparameters are fitted anew when so much more trials are told

Rows = tuple[tuple[float, ...], ...]


def ask(question: Question) -> Point:
    """Return the point of the greatest expected improvement, or of the Sobol sequence while there are few trials."""
    sampler = question.study.sampler
    assert isinstance(sampler, Gp)
    placed = [(each, question.loss(each.trial)) for each in question.placed]
    told = [(each, loss) for each, loss in placed if loss is not None]
    if len(told) < sampler.startup or not question.names:
        return sobol.ask(question)
    encoding = _encoding(question)
    rows = tuple(question.of_each([each.trial for each, _ in told], "gp", _row_of(question, placed)))
    losses = tuple(loss for _, loss in told)
    waiting = [each.trial for each, loss in placed if loss is None]
    open_rows = question.of_each(waiting, "gp", _row_of(question, placed))
    first = _refitted_at(sampler.startup, len(told))
    found = _fitted(encoding, rows[:first], losses[:first])
    units = propose(encoding, rows, losses, open_rows, found, question.random().getrandbits(32))
    return sobol.place_in(question, units)


@lru_cache(maxsize=32)
def _fitted(encoding: Encoding, rows: Rows, losses: tuple[float, ...]) -> Hyperparameters:
    return fitted(encoding, rows, losses)


def _refitted_at(startup: int, told: int) -> int:
    """Return how many of the trials told the hyperparameters depend on: of a hundred, not each one changes them."""
    sizes = accumulate(range(told), lambda size, _: size + max(1, int(size * REFIT_SHARE)), initial=startup)
    return max(size for size in sizes if size <= told)


def _encoding(question: Question) -> Encoding:
    names = question.names
    found = [leaf for leaf in leaves(question.space) if leaf.dimension.count != 1]
    axes = []
    for leaf in found:
        levels = _levels(leaf.dimension)
        parent, option = None, 0
        for depth in range(len(leaf.within), 0, -1):  # an outer choice of one option is no axis
            pointer, at = leaf.within[depth - 1]
            name = Leaf(pointer, leaf.dimension, leaf.within[: depth - 1]).name
            if name in names:
                parent, option = names.index(name), at
                break
        axes.append(Axis(levels, isinstance(leaf.dimension, Choice), parent, option))
    return Encoding(tuple(axes))


def _levels(dimension: DimensionBase) -> tuple[float, ...]:
    """Return the positions that exist, of a choice or of few whole numbers."""
    if isinstance(dimension, Choice):
        values = [option.value for option in dimension.options]
    elif isinstance(dimension, Int) and dimension.count <= LEVELS:
        values = list(range(dimension.low, dimension.high + 1, dimension.step))
    else:
        return ()
    return tuple(unit for value in values if (unit := dimension.unit(value)) is not None)


def _row_of(question: Question, placed: list[tuple[Placed, float | None]]) -> Callable[[Trial], tuple[float, ...]]:
    """Return a function to a trial's unit values in the order of the axes; 0 on an axis that it does not have."""
    names, units = question.names, {each.trial.number: each.units for each, _ in placed}

    def row(trial: Trial) -> tuple[float, ...]:
        own = units[trial.number]
        return tuple(own[name][1] if name in own else 0.0 for name in names)

    return row
