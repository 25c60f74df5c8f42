"""JSON Patch (RFC 6902), as far as remedies need it: add, replace, remove."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from service.errors import Invalid, Problem
from service.spec.component import Json

OPERATIONS = ("add", "replace", "remove")


def apply_patch(document: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """Return a changed copy of `document`; raise `Invalid` with the operation that does not fit it."""
    changed = copy.deepcopy(document)
    for place, operation in enumerate(operations):
        try:
            changed = _applied(changed, operation)
        except (KeyError, IndexError, ValueError, TypeError):
            detail = f"{operation.get('op')} at {operation.get('path')} does not fit the document."
            raise Invalid.of([Problem(f"/{place}", "patch_misfit", detail)]) from None
    return changed


def _applied(document: Any, operation: Mapping[str, Any]) -> Any:
    verb, path = operation["op"], operation["path"]
    if verb not in OPERATIONS:
        raise ValueError(verb)
    value = None if verb == "remove" else copy.deepcopy(operation["value"])
    if path == "":
        return value
    *parents, last = split_pointer(path)
    holder = document
    for part in parents:
        holder = holder[int(part)] if isinstance(holder, list) else holder[part]
    if isinstance(holder, list):
        _in_list(holder, verb, last, value)
    else:
        _in_object(holder, verb, last, value)
    return document


def _in_list(holder: list[Any], verb: str, last: str, value: Any) -> None:
    place = len(holder) if last == "-" and verb == "add" else int(last)
    if not 0 <= place <= len(holder) - (verb != "add"):
        raise IndexError(last)
    if verb == "add":
        holder.insert(place, value)
    elif verb == "replace":
        holder[place] = value
    else:
        del holder[place]


def _in_object(holder: Json, verb: str, last: str, value: Any) -> None:
    if verb != "add" and last not in holder:
        raise KeyError(last)
    if verb == "remove":
        del holder[last]
    else:
        holder[last] = value


def split_pointer(path: str) -> list[str]:
    """Return the keys of a JSON Pointer (RFC 6901) that is not empty."""
    if not path.startswith("/"):
        raise ValueError(path)
    return [part.replace("~1", "/").replace("~0", "~") for part in path[1:].split("/")]
