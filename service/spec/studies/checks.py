"""What makes a study impossible, with pointers into its document."""

import re
from collections.abc import Iterator

from service.errors import Problem
from service.spec.checks.metrics import series_problems
from service.spec.component import under
from service.spec.experiment import UNHASHED, Experiment
from service.spec.studies.dimensions import Choice, Int
from service.spec.studies.samplers import Grid
from service.spec.studies.space import Leaf, leaves
from service.spec.studies.study import Study
from service.spec.studies.trying import TriedSpace, document_pointer

POINTER = re.compile(r"(/([^~/]|~[01])+)+")
UNSEARCHED = UNHASHED | {"seeds", "preset"}
MOST_DIMENSIONS = 50
MOST_COMBINATIONS = 100
MOST_GRID_VALUES = 10_000  # of one dimension


def find_problems(study: Study) -> Iterator[Problem]:
    """Yield what is wrong with the document alone, before anything of it is built."""
    yield from under("/budget", study.budget.problems())
    if study.seeds is not None and len(set(study.seeds)) < len(study.seeds):
        yield Problem("/seeds", "repeated", "give each seed once: the same seed gives the same run.")
    found = list(leaves(study.space))
    if len(found) > MOST_DIMENSIONS:
        detail = f"these are {len(found)} dimensions, those of options counted: leave some fixed."
        yield Problem("/space", "too_many", detail, MOST_DIMENSIONS)
    combinations = 1
    for leaf in found:
        place = document_pointer(leaf)
        yield from under(place, leaf.dimension.problems())
        yield from under(place, _pointer_problems(leaf, found))
        yield from under(place, _role_problems(leaf))
        if leaf.dimension.role == "scientific" and isinstance(leaf.dimension, Choice):
            combinations *= leaf.dimension.count
        if isinstance(study.sampler, Grid) and isinstance(leaf.dimension, Int) and not leaf.dimension.log:
            yield from under(place, _grid_problems(leaf.dimension))
    if combinations > MOST_COMBINATIONS:
        detail = f"the scientific dimensions have {combinations} combinations, each of which is tuned by itself."
        yield Problem("/space", "too_many", detail, MOST_COMBINATIONS)
    sampler = study.sampler
    yield from under("/sampler", sampler.space_problems([leaf.dimension for leaf in found if not leaf.within]))


def _pointer_problems(leaf: Leaf, found: list[Leaf]) -> Iterator[Problem]:
    if not POINTER.fullmatch(leaf.pointer):
        meant = "/" + leaf.pointer.strip("/").replace(".", "/")
        detail = "a dimension's name is a JSON pointer into the spec, such as /optimizer/lr."
        yield Problem("", "not_a_pointer", detail, None, meant if POINTER.fullmatch(meant) else None)
        return
    first, *_, last = leaf.pointer.split("/")[1:] * 2
    if first in UNSEARCHED:
        detail = f"/{first} is the same for all trials: it does not change what one is worth."
        yield Problem("", "not_searched", detail)
    if last == "kind":
        whole = leaf.pointer.rpartition("/")[0]
        detail = f"another kind has other fields: make each option a whole component, at {whole}."
        yield Problem("", "whole_component", detail, None, whole)
    outer = [each for each in found if each.pointer == leaf.pointer and each is not leaf]
    if any(each.within == leaf.within[: len(each.within)] and each.within != leaf.within for each in outer):
        yield Problem("", "repeated", f"{leaf.pointer} is a dimension outside of this option already: search it once.")


def _role_problems(leaf: Leaf) -> Iterator[Problem]:
    if leaf.dimension.role == "scientific" and not isinstance(leaf.dimension, Choice):
        detail = f"only a choice is scientific: list the values of {leaf.pointer} that are compared as its options."
        yield Problem("/role", "not_a_choice", detail)
    elif leaf.dimension.role == "scientific" and leaf.within:
        detail = (
            "only a dimension at the top of the space is scientific, so that every value is compared with every other."
        )
        yield Problem("/role", "not_at_top", detail)


def _grid_problems(dimension: Int) -> Iterator[Problem]:
    if dimension.high > dimension.low and dimension.count > MOST_GRID_VALUES:
        detail = f"a grid would try its {dimension.count} values: set step, or log for a few values in equal ratios."
        yield Problem("/step", "too_many", detail, MOST_GRID_VALUES)


def space_problems(study: Study, spec: Experiment, tried: TriedSpace) -> Iterator[Problem]:
    """Yield what does not fit the spec: the objective, and every bound or option that builds none."""
    yield from tried.problems
    if not tried.problems and not tried.specs:
        first = tried.failed[0]
        detail = f"none of {len(tried.failed)} random points builds; the first fails at {first.pointer}: {first.detail}"
        yield Problem("/space", "no_point_builds", detail)
    yield from series_problems(spec, "/objective/series", study.objective.series, loss=True)
