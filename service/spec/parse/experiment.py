"""From a posted document to an experiment: merge its preset, translate foreign names, report all problems at once."""

from collections.abc import Callable
from typing import NamedTuple

from service.errors import Invalid, Problem
from service.spec.checks.experiment import find_problems, find_warnings
from service.spec.component import Json
from service.spec.experiment import Experiment
from service.spec.parse.aliases import translate
from service.spec.parse.defaults import fill_defaults
from service.spec.parse.document import validate
from service.spec.parse.kinds import with_kinds
from service.spec.parse.presets import merge_patch, split_preset


class ParsedExperiment(NamedTuple):
    """An experiment without contradictions, and notes about how its document was read."""

    spec: Experiment
    notes: list[Problem]

    @property
    def warnings(self) -> list[Problem]:
        """What is allowed and probably not meant, and how words of other libraries were read."""
        return [*self.notes, *find_warnings(self.spec)]


def resolve_nothing(spec: Experiment) -> Experiment:
    """Return `spec` as it is: nothing to look up."""
    return spec


def parse_experiment(
    document: object, resolve: Callable[[Experiment], Experiment] = resolve_nothing, parent: Json | None = None
) -> ParsedExperiment:
    """Return `document` as an experiment; raise `Invalid` with every problem, at the pointers that were sent.

    `resolve` fills in what only the server knows, such as the contents of an upload. The document of a fork holds
    changes to its `parent`; any other may hold changes to a preset.
    """
    base, own = split_preset(document) if parent is None else (parent, document)
    under = base.get("optimizer", {})
    translation = translate(with_kinds(Experiment, own) if base else own, under)  # a kind alone keeps what is beneath
    found = list(translation.problems)
    try:
        document = merge_patch(base, translation.document) if base else translation.document
        spec, filled = fill_defaults(resolve(validate(Experiment, document)))
        found += map(translation.point_back, find_problems(spec))
    except Invalid as error:
        raise Invalid.of([*found, *map(translation.point_back, error.problems)]) from None
    if found:
        raise Invalid.of(found)
    return ParsedExperiment(spec, [*translation.notes, *filled])
