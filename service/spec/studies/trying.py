"""Trying out a space: whether every bound and every option builds a spec, and what share of random points does."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

from service.errors import Invalid, Problem
from service.spec.experiment import Experiment
from service.spec.parse.experiment import parse_experiment
from service.spec.studies.dimensions import Choice
from service.spec.studies.points import apply
from service.spec.studies.space import Leaf, Point, Space, draw, leaves
from service.spec.studies.study import Study
from service.spec.validation_errors import escape_key

MOST_LEAVES = 50  # dimensions that are tried
MOST_TEXT = 80  # characters of a value in a message
Resolve = Callable[[Experiment], Experiment]
SAMPLES = 16  # random points that are built


@dataclass
class TriedSpace:
    """What came of it."""

    problems: list[Problem] = field(default_factory=list)
    specs: list[Experiment] = field(default_factory=list)  # of the random points that build
    failed: list[Problem] = field(default_factory=list)  # first problem of each random point that does not


def try_space(study: Study, resolve: Resolve) -> TriedSpace:
    """Return the problems of bounds and options, each by itself over the base, then of whole random points."""
    tried = TriedSpace()
    for leaf in islice(leaves(study.space), MOST_LEAVES):
        tried.problems += _edge_problems(study, leaf, resolve)
    if tried.problems:
        return tried
    generator = random.Random(study.seed)  # noqa: S311  nothing is secret
    for _ in range(SAMPLES):
        point = draw(study.space, lambda leaf: leaf.dimension.at(generator.random()))
        spec, problems = _build(study, point, resolve)
        tried.specs += [spec] if spec else []
        tried.failed += problems[:1]
    return tried


def _build(study: Study, point: Point, resolve: Resolve) -> tuple[Experiment | None, list[Problem]]:
    try:
        return parse_experiment(apply(study.base, point), resolve).spec, []
    except Invalid as error:
        return None, list(error.problems)


def _edge_problems(study: Study, leaf: Leaf, resolve: Resolve) -> list[Problem]:
    """Return the problems of a dimension's bounds or options, or what is wrong with all of them once."""
    found: list[list[Problem]] = []
    for place, value in leaf.dimension.edges().items():
        point = _around(study.space, leaf, value)
        _, problems = _build(study, point, resolve)
        found.append([_at_dimension(study.space, leaf, place, point, each) for each in problems])
    if len(found) > 1 and all(found) and len({(each[0].code, each[0].did_you_mean) for each in found}) == 1:
        return [replace(found[0][0], pointer=document_pointer(leaf))]
    return [problem for each in found for problem in each]


def _around(space: Space, leaf: Leaf, value: Any) -> Point:
    """Return the point with `value` at `leaf`, the options it depends on, and the first value of all else in these."""
    top = leaf.within[0][0] if leaf.within else leaf.pointer
    chosen = dict(leaf.within)

    def choose(each: Leaf) -> Any:
        if each.name == leaf.name:
            return value
        if (
            isinstance(each.dimension, Choice)
            and each.within == leaf.within[: len(each.within)]
            and each.pointer in chosen
        ):
            return each.dimension.options[chosen[each.pointer]].value
        return each.dimension.at(0.0)

    return draw({top: space[top]}, choose)


def _at_dimension(space: Space, leaf: Leaf, place: str, point: Point, problem: Problem) -> Problem:
    """Return a problem of a built spec at the dimension that caused it, which `leaf` is unless it names another."""
    within = dict(leaf.within).items()
    active = [each for each in leaves(space) if each.pointer in point and dict(each.within).items() <= within]
    touching = [each for each in active if _touches(each.pointer, problem.pointer)]
    cause = leaf if leaf in touching or not touching else max(touching, key=lambda each: len(each.pointer))
    meant = problem.did_you_mean
    if meant and not meant.startswith("/") and (cause.pointer + "/").startswith(problem.pointer + "/"):
        meant = f"{problem.pointer.rpartition('/')[0]}/{meant}{cause.pointer[len(problem.pointer) :]}"
    value = json.dumps(point[cause.pointer])[:MOST_TEXT]
    detail = f"with {value} the spec does not build: {problem.pointer or '/'}: {problem.detail}"
    pointer = document_pointer(cause) + (place if cause is leaf else "")
    return replace(problem, pointer=pointer, detail=detail, did_you_mean=meant)


def _touches(one: str, other: str) -> bool:
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


def document_pointer(leaf: Leaf) -> str:
    """Return where a dimension stands in the study's document."""
    path = "".join(f"/space/{escape_key(pointer)}/options/{at}" for pointer, at in leaf.within)
    return f"{path}/space/{escape_key(leaf.pointer)}"
