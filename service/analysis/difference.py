"""Where several JSON documents (specs) differ: a flat table by JSON Pointer (RFC 6901)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
Path = tuple[str, ...]


class Missing(Enum):
    """The document has nothing at this place, which is not the same as null."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


@dataclass(frozen=True)
class Difference:
    """One place at which the documents are not all equal."""

    pointer: str
    values: tuple[Json | Missing, ...]  # one per document, in their order

    def as_json(self) -> dict[str, Json]:
        """Missing values as null, with the positions of the documents that lack them under `missing`."""
        return {
            "values": [None if value is MISSING else value for value in self.values],
            "missing": [position for position, value in enumerate(self.values) if value is MISSING],
        }


def difference(documents: Sequence[Mapping[str, Json]]) -> dict[str, Difference]:
    """Pointer -> difference, over the leaves; sorted by path (array positions as numbers), not by document.

    Leaves are scalars and empty containers. 1 and 1.0 are one number; true and 1 are two values.
    """
    flat = [dict(_leaves((), document)) if document else {} for document in documents]
    paths = sorted({path for leaves in flat for path in leaves}, key=_sort_key)
    rows = (Difference(_pointer(path), tuple(leaves.get(path, MISSING) for leaves in flat)) for path in paths)
    return {row.pointer: row for row in rows if len({_identity(value) for value in row.values}) > 1}


def _leaves(path: Path, value: Json) -> Iterator[tuple[Path, Json]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves((*path, key), inner)
    elif isinstance(value, Sequence) and not isinstance(value, str) and value:
        for position, inner in enumerate(value):
            yield from _leaves((*path, str(position)), inner)
    else:
        yield path, value


def _pointer(path: Path) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def _sort_key(path: Path) -> list[tuple[bool, int, str]]:
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in path]


def _identity(value: Json | Missing) -> tuple[str, object]:
    """Equal where two leaves are the same JSON: for Python True == 1, and NaN != NaN."""
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int | float):
        return "number", "NaN" if value != value else value
    return type(value).__name__, str(value)
