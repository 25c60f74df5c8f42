"""Sobol points: the place of the trial in a scrambled sequence, whatever the trials before it were."""

from service.analysis.sobol import sobol_point
from service.spec.studies.space import Point, point_at
from service.studies.suggest.question import Question


def ask(question: Question) -> Point:
    """Return the point of the sequence whose place is the number of trials before."""
    place = sum(trial.number < question.number for trial in question.trials)
    names = question.names
    return place_in(question, sobol_point(len(names), question.study.seed, place) if names else [])


def place_in(question: Question, units: list[float]) -> Point:
    """Return the point with these unit values of the dimensions that have more than one value."""
    return point_at(question.space, Units(zip(question.names, units, strict=True)))


class Units(dict[str, float]):
    """Unit values by name; a dimension of one value needs none."""

    def __missing__(self, name: str) -> float:
        return 0.0
