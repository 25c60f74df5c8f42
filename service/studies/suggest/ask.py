"""Asking: whose turn it is among the scientific values, and which sampler answers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from service.spec.studies.dimensions import same_value
from service.spec.studies.samplers import CmaEs, Gp, Grid, Random, SamplerBase, Sobol, Tpe
from service.spec.studies.space import Point, combinations, restricted
from service.spec.studies.study import Study
from service.studies.suggest import cma_es, gp, grid, sobol, tpe
from service.studies.suggest.question import Question
from service.studies.trial import Trial, TrialState

SAMPLERS: dict[type[SamplerBase], Callable[[Question], Point | None]] = {
    Grid: grid.ask,
    Random: Question.random_point,
    Sobol: sobol.ask,
    Tpe: tpe.ask,
    Gp: gp.ask,
    CmaEs: cma_es.ask,
}


def ask(study: Study, trials: Sequence[Trial], number: int, keep: bool = True) -> Point | None:
    """Return the point of trial `number`; None when a grid is used up.

    `trials` are all others so far, in any order. `keep`: keep what was computed of them for the next call.
    """
    described = study.model_dump_json(include={"space", "sampler", "objective", "seed"}) if keep else ""
    for at, combination in turns(study, trials):
        own = tuple(sorted((each for each in trials if has(each, combination)), key=lambda each: each.number))
        key = f"{at}:{described}" if keep else ""
        found = SAMPLERS[type(study.sampler)](Question(study, restricted(study.space, combination), own, number, key))
        if found is not None:
            return found
    return None


def turns(study: Study, trials: Sequence[Trial]) -> Iterator[tuple[int, Point]]:
    """Yield the combinations of scientific values with their positions, those with the fewest trials first.

    So each is tuned with the same number of trials; a failed trial does not count, because its point is given out
    again.
    """
    each = list(enumerate(combinations(study.space)))
    if len(each) == 1:
        yield from each
        return
    counted = [trial for trial in trials if trial.state != TrialState.FAILED]
    used = [sum(has(trial, combination) for trial in counted) for _, combination in each]
    yield from sorted(each, key=lambda pair: used[pair[0]])


def has(trial: Trial, combination: Mapping[str, Any]) -> bool:
    """Return whether a trial has these scientific values."""
    return all(same_value(trial.point.get(pointer), value) for pointer, value in combination.items())
