"""From a posted document to a study: its base read as any experiment, its space tried out, all problems at once."""

from collections.abc import Callable
from typing import NamedTuple

from service.errors import Invalid, Problem
from service.spec.component import Json, under
from service.spec.experiment import Experiment
from service.spec.measures import default_figure
from service.spec.parse.document import validate
from service.spec.parse.experiment import parse_experiment, resolve_nothing
from service.spec.studies.checks import find_problems, space_problems
from service.spec.studies.study import Study, TrialObjective
from service.spec.studies.trying import TriedSpace, try_space
from service.spec.studies.warnings import find_warnings

Resolve = Callable[[Experiment], Experiment]


class ParsedStudy(NamedTuple):
    """A study whose base is normalised and holds the study's seeds, the spec of that base, and what is doubtful."""

    study: Study
    spec: Experiment
    warnings: list[Problem]


def parse_study(document: object, resolve: Resolve = resolve_nothing) -> ParsedStudy:
    """Return `document` as a study; raise `Invalid` with every problem, at pointers into the document."""
    study = validate(Study, document)
    found = list(find_problems(study))
    try:
        parsed = parse_experiment(study.base, resolve)
    except Invalid as error:
        raise Invalid.of([*found, *under("/base", error.problems)]) from None
    if found:
        raise Invalid.of(found)
    seeds = study.seeds or parsed.spec.seeds
    base = base_document(parsed.spec, parsed.notes) | {"seeds": list(seeds)}
    objective, notes = _objective(study, parsed.spec)
    study = study.model_copy(update={"base": base, "seeds": seeds, "objective": objective})
    tried = try_space(study, resolve)
    if problems := [*space_problems(study, parsed.spec, tried)]:
        raise Invalid.of(problems)
    return ParsedStudy(study, parsed.spec, [*notes, *find_warnings(study, parsed.spec, tried)])


def base_document(spec: Experiment, notes: list[Problem]) -> Json:
    """Return the document that points are applied to: normalised, without what is filled in for each point anew."""
    base = spec.normalised()
    del base["restarts"]
    for part in (base["dataset"], base["start"] or {}):
        part.pop("resolved", None)
    for note in notes:
        if note.code == "filled":
            *parents, last = note.pointer.split("/")[1:]
            holder = base
            for key in parents:
                holder = holder[key]
            holder.pop(last, None)
    return base


def _objective(study: Study, spec: Experiment) -> tuple[TrialObjective, list[Problem]]:
    """Return the objective; if none is named and nothing is validated it is the training loss."""
    if "series" in study.objective.model_fields_set or spec.dataset.validated:
        return study.objective, []
    given = study.objective.model_dump(include=study.objective.model_fields_set)
    objective = TrialObjective(**{"figure": default_figure("loss"), **given, "series": "loss"})
    detail = "loss: /base/dataset/validation is 0, so that trials are judged by the training loss."
    return objective, [Problem("/objective/series", "filled", detail)]


__all__ = ["ParsedStudy", "TriedSpace", "base_document", "parse_study"]
