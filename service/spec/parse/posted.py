"""From a posted document to an experiment: its preset merged in, foreign words taken, everything wrong said at once."""

from collections.abc import Callable
from typing import Any, NamedTuple

from service.errors import Invalid, Problem
from service.spec.checks import cross_field
from service.spec.experiment import Experiment
from service.spec.parse import defaults
from service.spec.parse.aliases import translate
from service.spec.parse.document import validate
from service.spec.parse.preset_merge import merge, taken_from


class Posted(NamedTuple):
    """An experiment without contradictions, and what is to be said about how it was understood."""

    spec: Experiment
    notes: list[Problem]


def as_it_is(spec: Experiment) -> Experiment:
    """Nothing to look up."""
    return spec


def read(
    document: Any, resolve: Callable[[Experiment], Experiment] = as_it_is, parent: dict[str, Any] | None = None
) -> Posted:
    """`document` as an experiment, or `Invalid` with every problem at the pointer that was sent.

    `resolve` writes in what only the server knows: what an upload holds. A fork's document says what differs from
    its `parent`; any other may say what differs from a preset.
    """
    base, own = taken_from(document) if parent is None else (parent, document)
    under = base.get("optimizer", {})
    translation = translate(own, under)
    found = list(translation.problems)
    try:
        document = merge(base, translation.document) if base else translation.document
        spec, filled = defaults.fit(resolve(validate(Experiment, document)))
        found += map(translation.point_back, cross_field.problems(spec))
    except Invalid as error:
        raise Invalid.of([*found, *map(translation.point_back, error.problems)]) from None
    if found:
        raise Invalid.of(found)
    return Posted(spec, [*translation.notes, *filled])


def warnings(posted: Posted) -> list[Problem]:
    """What is allowed and probably not meant, and how foreign words were taken."""
    return [*posted.notes, *cross_field.warnings(posted.spec)]
