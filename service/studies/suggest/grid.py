"""Grid search: each combination once, in order."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from service.spec.studies.dimensions import Choice, DimensionBase, Int
from service.spec.studies.samplers import Grid
from service.spec.studies.space import Point, Space
from service.studies.suggest.question import Question


def ask(question: Question) -> Point | None:
    """Return the first point of the grid that no trial has; None if there is none."""
    tried = set(question.of_each(question.trials, "grid", lambda trial: _key(trial.point)))
    points = grid(question.space, _values_of(question))
    return next((point for point in points if _key(point) not in tried), None)


def _values_of(question: Question) -> int:
    sampler = question.study.sampler
    assert isinstance(sampler, Grid)
    return sampler.points


def grid(space: Space, values: int) -> Iterator[Point]:
    """Yield every point, the last dimension changing fastest; `values` of each continuous dimension."""
    if not space:
        yield {}
        return
    (pointer, dimension), *rest = space.items()
    if isinstance(dimension, Choice):
        for option in dimension.options:
            for inner in grid({**option.space, **dict(rest)}, values):
                yield {pointer: option.value, **inner}
        return
    for value in listed(dimension, values):
        for inner in grid(dict(rest), values):
            yield {pointer: value, **inner}


def listed(dimension: DimensionBase, values: int) -> list[Any]:
    """Return the values of a dimension on the grid."""
    if dimension.count is None or (isinstance(dimension, Int) and dimension.log):
        return list(dict.fromkeys(dimension.at(at / max(values - 1, 1)) for at in range(values)))
    return [dimension.at((at + 0.5) / dimension.count) for at in range(dimension.count)]


def grid_size(space: Space, values: int) -> int:
    """Return the number of points."""
    size = 1
    for dimension in space.values():
        if isinstance(dimension, Choice):
            size *= sum(grid_size(option.space, values) for option in dimension.options)
        elif isinstance(dimension, Int) and not dimension.log:
            size *= dimension.count
        else:
            size *= len(listed(dimension, values))
    return size


def _key(point: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what two equal points have in common, also after one was in a database."""
    return tuple((name, _plain(point[name])) for name in sorted(point))


def _plain(value: Any) -> Any:
    if isinstance(value, bool | dict | list):
        return json.dumps(value, sort_keys=True)
    return value
