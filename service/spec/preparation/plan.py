"""The plan of a preparation: which features each step takes and leaves, known from the file's report alone."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from service.errors import Problem
from service.spec.preparation.base import Feature, StepBase
from service.spec.validation_errors import closest


class PlannedStep(NamedTuple):
    """A step, and the features before it and after it; `taken` are positions among those before it."""

    step: StepBase
    taken: tuple[int, ...]
    before: tuple[Feature, ...]
    after: tuple[Feature, ...]


def plan_steps(steps: Sequence[StepBase], features: Sequence[Feature]) -> tuple[list[PlannedStep], list[Problem]]:
    """Return the steps in order, and what is wrong with them; pointers start at the list of steps."""
    planned: list[PlannedStep] = []
    problems: list[Problem] = []
    names = dict.fromkeys(feature.name for feature in features)
    for at, step in enumerate(steps):
        found = [*step.problems(), *_choose_problems(step, names, tuple(features))]
        problems += [problem.under(f"/{at}") for problem in found]
        taken = tuple(_taken(steps, at, features))
        for position in taken:
            own = step.taken_problems(features[position]) if not found else ()
            problems += [problem.under(f"/{at}") for problem in own]
        after = _after(step, {*taken}, features)
        planned.append(PlannedStep(step, taken, tuple(features), after))
        features = after
    return planned, problems


def encoded_names(steps: Sequence[StepBase], texts: Sequence[str]) -> set[str]:
    """Return the columns that some step encodes; `texts` are the columns of text, which it takes by default."""
    found = {name for step in steps if step.encodes for name in step.columns or ()}
    by_default = any(step.encodes and step.columns is None for step in steps)
    return found | ({*texts} if by_default else set())


def _taken(steps: Sequence[StepBase], at: int, features: Sequence[Feature]) -> Iterator[int]:
    """Yield the positions of the features that a step takes; by default none that another encoder names."""
    step, named = steps[at], {*(steps[at].columns or ())}
    others = {name for other in steps if step.encodes and other.encodes for name in other.columns or ()}
    for position, feature in enumerate(features):
        if feature.derived:
            continue
        chosen = step.suits(feature) and feature.name not in others if step.columns is None else None
        if chosen or (feature.name in named and not step.refusal(feature)):
            yield position


def _choose_problems(step: StepBase, names: Collection[str], features: tuple[Feature, ...]) -> Iterator[Problem]:
    """Yield columns that a step names and cannot take."""
    present = {feature.name: feature for feature in features if not feature.derived}
    for index, name in enumerate(step.columns or ()):
        pointer = f"/columns/{index}"
        if name not in names:
            yield Problem(pointer, "no_such_column", "is no feature of /dataset.", None, closest(name, names))
        elif name in (step.columns or ())[:index]:
            yield Problem(pointer, "repeated", "give each column once.")
        elif name not in present:
            yield Problem(pointer, "contradiction", f"the column {name} is encoded by an earlier step.")
        elif refusal := step.refusal(present[name]):
            yield Problem(pointer, "unsuitable_column", f"the column {name} {refusal}.")


def _after(step: StepBase, taken: set[int], features: Sequence[Feature]) -> tuple[Feature, ...]:
    """Return the features after a step: in the places of those before it, then those that it adds."""
    placed = [
        after
        for position, feature in enumerate(features)
        for after in (step.outputs(feature) if position in taken else (feature,))
    ]
    return (*placed, *(extra for position in sorted(taken) for extra in step.appended(features[position])))
