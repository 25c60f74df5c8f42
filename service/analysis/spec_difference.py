"""Where several JSON documents (specs) differ: a flat table by JSON Pointer (RFC 6901)."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

Json: TypeAlias = bool | int | float | str | Sequence["Json"] | Mapping[str, "Json"] | None
Path = tuple[str, ...]
Row: TypeAlias = tuple["Json | Missing", ...]


class Missing(Enum):
    """The document has no value here, which differs from null."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


@dataclass(frozen=True)
class Difference:
    """A place where the documents are not all equal."""

    pointer: str
    values: tuple[Json | Missing, ...]  # one per document, in their order

    def as_json(self) -> dict[str, Json]:
        """Return missing values as null, with the positions of the documents that lack them under `missing`."""
        return {
            "values": [None if value is MISSING else value for value in self.values],
            "missing": [position for position, value in enumerate(self.values) if value is MISSING],
        }


def difference(documents: Sequence[Mapping[str, Json]]) -> dict[str, Difference]:
    """Return the differences of the leaves by pointer, sorted by path (array positions as numbers).

    Leaves are scalars and empty containers. 1 and 1.0 are equal; true and 1 differ.
    """
    rows = [(path, row) for path, row in _leaves((), [document or MISSING for document in documents]) if _differ(row)]
    rows.sort(key=lambda each: _sort_key(each[0]))
    return {pointer: Difference(pointer, row) for path, row in rows for pointer in [_pointer(path)]}


def _leaves(path: Path, values: Sequence[Json | Missing]) -> Iterator[tuple[Path, Row]]:
    """Yield a row for every leaf at or below `path`; a document without that leaf has MISSING."""
    inner = [value if isinstance(value, dict | list | tuple) and value else None for value in values]
    row = tuple(value if further is None else MISSING for value, further in zip(values, inner, strict=True))
    if any(value is not MISSING for value in row):
        yield path, row
    branches = [
        {} if each is None else each if isinstance(each, dict) else {str(at): one for at, one in enumerate(each)}
        for each in inner
    ]
    for name in dict.fromkeys(name for branch in branches for name in branch):
        yield from _leaves((*path, name), [branch.get(name, MISSING) for branch in branches])


def _differ(row: Row) -> bool:
    """Return whether the values differ; `count` finds the common case of equal ones fast."""
    alike = row.count(row[0]) == len(row) and len(set(map(type, row))) == 1
    return not alike and len({_identity(value) for value in row}) > 1


def _pointer(path: Path) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in path)


def _sort_key(path: Path) -> list[tuple[bool, int, str]]:
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in path]


def _identity(value: Json | Missing) -> tuple[str, object]:
    """Return a key that is equal for equal JSON, because in Python True == 1 and NaN != NaN."""
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int | float):
        return "number", "NaN" if value != value else value
    return type(value).__name__, str(value)
