"""CMA-ES by the package that Optuna's sampler uses, without Optuna.

Optuna's keeps the state of the distribution in its trials. Here the state is computed from them: the trials that ended,
in the order of their numbers and a generation at a time, are told to a fresh distribution. Choices, and dimensions that
only some options have, are drawn at random.
"""

from service.analysis.cma_es import sample
from service.spec.studies.dimensions import Choice
from service.spec.studies.samplers import CmaEs
from service.spec.studies.space import Point, draw, leaves
from service.studies.suggest.question import Question


def ask(question: Question) -> Point:
    """Return a sample of the distribution as it is after the generations so far."""
    sampler = question.study.sampler
    assert isinstance(sampler, CmaEs)
    found = [leaf for leaf in leaves(question.space) if leaf.dimension.count != 1 and not leaf.within]
    names = [leaf.name for leaf in found if not isinstance(leaf.dimension, Choice)]
    if len(names) < 2:  # the package takes no fewer
        return question.random_point()
    told = tuple(
        (tuple(each.units[name][1] for name in names), loss)
        for each in question.placed
        if (loss := question.loss(each.trial)) is not None
    )
    generator = question.random()
    units = dict(zip(names, sample(len(names), sampler.population, told, generator.getrandbits(32)), strict=True))
    return draw(
        question.space,
        lambda leaf: leaf.dimension.at(units[leaf.name] if leaf.name in units else generator.random()),
    )
