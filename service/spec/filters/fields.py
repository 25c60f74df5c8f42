"""What a filter may name: facts of a row, fields of the spec by dotted path, and figures of series."""

import types
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from service.lifecycle import State
from service.spec.experiment import Experiment

FIGURES = ("last", "best", "min", "max")  # of a series: last(val/loss)
Noun = Literal["experiments", "runs"]
Type = Literal["text", "number", "date", "state", "any"]
FACTS: dict[Noun, dict[str, Type]] = {
    "experiments": {
        "id": "text",
        "name": "text",
        "owner": "text",
        "tag": "text",
        "notes": "text",
        "hash": "text",
        "state": "state",
        "confirms": "text",
        "study": "text",
        "trial": "number",
        "created": "date",
        "archived": "date",
    },
    "runs": {
        "id": "text",
        "experiment": "text",
        "study": "text",
        "trial": "number",
        "name": "text",
        "owner": "text",
        "tag": "text",
        "notes": "text",
        "hash": "text",
        "state": "state",
        "pool": "text",
        "worker": "text",
        "failure": "text",
        "seed": "number",
        "step": "number",
        "created": "date",
        "started": "date",
        "finished": "date",
    },
}
STATES = [state.value for state in State]
FACT_FIELDS = {"name", "tags", "notes", "seeds"}  # of a spec; named by facts instead


@lru_cache(maxsize=1)
def spec_paths() -> frozenset[str]:
    """Return every dotted path that some spec has; `#` stands for a position."""
    return frozenset(path for path in _paths(Experiment, "", 4) if path.split(".")[0] not in FACT_FIELDS)


def known_path(path: str) -> bool:
    """Return whether some spec has a value at this path."""
    return ".".join("#" if part.isdecimal() else part for part in path.split(".")) in spec_paths()


def _paths(annotation: object, prefix: str, depth: int) -> Iterator[str]:
    for model in _models(annotation):
        for name, field in model.model_fields.items():
            yield prefix + name
            if depth:
                yield from _paths(field.annotation, f"{prefix}{name}.", depth - 1)
    for item in _items(annotation):
        yield f"{prefix}#"
        if depth:
            yield from _paths(item, f"{prefix}#.", depth - 1)


def _parts(annotation: object) -> list[object]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _parts(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        return [part for each in get_args(annotation) for part in _parts(each)]
    return [annotation]


def _models(annotation: object) -> list[type[BaseModel]]:
    return [part for part in _parts(annotation) if isinstance(part, type) and issubclass(part, BaseModel)]


def _items(annotation: object) -> list[object]:
    return [get_args(part)[0] for part in _parts(annotation) if get_origin(part) in (tuple, list) and get_args(part)]
