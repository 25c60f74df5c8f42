"""The patch that makes a point's spec of the study's base."""

from collections.abc import Mapping
from typing import Any

from service.spec.component import Json
from service.spec.studies.points import apply, value_at


def patch_of(base: Json, point: Mapping[str, Any]) -> list[Json]:
    """Return the JSON Patch (RFC 6902) that changes `base` as `point` does.

    A field inside another that the point sets, or inside a part that the base does not have, is told with that part.
    """
    changed = apply(base, point)
    places = {_outermost(base, pointer) for pointer in point}
    kept = sorted(place for place in places if not any(place.startswith(f"{other}/") for other in places))
    removed = [{"op": "remove", "path": f"/{key}"} for key in base if key not in changed]
    return [*removed, *(_operation(base, changed, place) for place in kept)]


def _outermost(base: Json, pointer: str) -> str:
    """Return the pointer, or the first place on the way to it where the base has no part to hold the rest."""
    keys = pointer.split("/")[1:]
    for length in range(1, len(keys)):
        place = "/" + "/".join(keys[:length])
        if not isinstance(value_at(base, place), dict | list):
            return place
    return pointer


def _operation(base: Json, changed: Json, place: str) -> Json:
    parent, _, last = place.rpartition("/")
    holder = value_at(base, parent) if parent else base
    there = isinstance(holder, list) or last.replace("~1", "/").replace("~0", "~") in holder
    return {"op": "replace" if there else "add", "path": place, "value": value_at(changed, place)}
