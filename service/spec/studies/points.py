"""From a point of the space to the document of an experiment."""

import copy
from collections.abc import Mapping
from typing import Any

from service.errors import Invalid, Problem
from service.spec.component import Json
from service.spec.parse.json_patch import split_pointer
from service.spec.parse.presets import EXCLUSIVE


def apply(base: Json, point: Mapping[str, Any]) -> Json:
    """Return `base` with the values of `point`, outer fields before inner ones; raise `Invalid` at misfit pointers.

    An absent or null object on the way is created, a component given by its kind alone becomes an object, and of two
    fields that exclude each other the new one removes the old. Whether a field exists is for the parser to say.
    """
    document = copy.deepcopy(base)
    problems = []
    for pointer in sorted(point, key=lambda each: each.count("/")):
        try:
            _set(document, split_pointer(pointer), copy.deepcopy(point[pointer]))
            _remove_rivals(document, pointer, point)
        except ValueError as error:
            problems.append(Problem(pointer, "pointer_misfit", str(error)))
    if problems:
        raise Invalid.of(problems)
    return document


def value_at(document: Any, pointer: str) -> Any:
    """Return the value at a pointer; None where there is none."""
    for key in split_pointer(pointer):
        if isinstance(document, list) and key.isdecimal() and int(key) < len(document):
            document = document[int(key)]
        elif isinstance(document, dict):
            document = document.get(key)
        else:
            return None
    return document


def _set(document: Json, keys: list[str], value: Any) -> None:
    holder: Any = document
    for at, key in enumerate(keys[:-1]):
        inner = holder[_index(holder, key)] if isinstance(holder, list) else holder.get(key)
        if inner is None:
            inner = {}
        elif isinstance(inner, str):
            inner = {"kind": inner}
        elif not isinstance(inner, dict | list):
            raise ValueError(f"/{'/'.join(keys[: at + 1])} is a single value: there is nothing inside it to search.")
        holder[_index(holder, key) if isinstance(holder, list) else key] = inner
        holder = inner
    if isinstance(holder, list):
        holder[_index(holder, keys[-1])] = value
        return
    holder[keys[-1]] = value


def _remove_rivals(document: Json, pointer: str, point: Mapping[str, Any]) -> None:
    """Remove the base's value of a field that excludes the one at `pointer`."""
    parent, _, name = pointer.rpartition("/")
    for pair in EXCLUSIVE:
        if name in pair and (rival := pair[1 - pair.index(name)]) and f"{parent}/{rival}" not in point:
            holder = value_at(document, parent) if parent else document
            if isinstance(holder, dict):
                holder.pop(rival, None)


def _index(holder: list[Any], key: str) -> int:
    if not key.isdecimal() or int(key) >= len(holder):
        there = f"its positions are 0 to {len(holder) - 1}" if holder else "it is empty"
        raise ValueError(f"{key} is no position in this list: {there}.")
    return int(key)
