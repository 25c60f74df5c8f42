"""Components: the choosable parts of a spec, members of unions discriminated by `kind`."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from service.errors import Problem

Rate = Annotated[float, Field(ge=0, le=10)]
PositiveRate = Annotated[float, Field(gt=0, le=10)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Decay = Annotated[float, Field(ge=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=10**8)]
Width = Annotated[int, Field(ge=1, le=65_536)]
Integer = Annotated[int, Field(ge=-(2**63), lt=2**63)]  # any that fits in 64 bits
Json = dict[str, Any]  # a JSON object


def under(prefix: str, problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yield the problems of a part at `prefix`, with pointers into the whole."""
    return (problem.under(prefix) for problem in problems)


class Default(NamedTuple):
    """A value for an omitted field whose usual default does not fit the rest of the spec, and why."""

    field: str
    value: Any
    why: str


class Part(BaseModel):
    """A frozen part of a spec; it refuses unknown fields, coercions and non-finite numbers."""

    # validators are built on first use: the catalogue's would take a fifth of a second of every import
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    def problems(self) -> Iterator[Problem]:
        """Yield contradictions between fields that are each valid; pointers start at this part."""
        yield from ()


class Component(Part):
    """A part whose fields are keyword arguments of the callable that `target` names.

    `target` is "module:name": a string, so that the API needs no torch; a class attribute, so that no request sets it.
    `left_out` names the callable's other arguments, each with the reason why a spec cannot set it.
    """

    target: ClassVar[str]
    left_out: ClassVar[dict[str, str]] = {}
    formula: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()  # packages that not every worker has, by their PyPI names
    abstract: ClassVar[tuple[str, ...]] = ()  # methods that each member of the family must define
    instead: ClassVar[dict[str, str]] = {}  # what a member may lack -> what it must then override
    example: ClassVar[Json] = {}  # parts of the spec that `saddle plugin check` trains it with
    renamed: ClassVar[dict[str, str]] = {}  # attribute or method of 0.1 -> its name since 0.2

    kind: str  # each member narrows it to a literal; declared here so that it comes first in the JSON

    def kwargs(self) -> dict[str, Any]:
        """Return the fields as keyword arguments, without `kind`."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "kind"}


def find_components(part: object, pointer: str = "") -> Iterator[tuple[Component, str]]:
    """Yield every component in a part of a spec, with its pointer from there."""
    if isinstance(part, Component):
        yield part, pointer
    if isinstance(part, Part):
        for name in type(part).model_fields:
            yield from find_components(getattr(part, name), f"{pointer}/{name}")
    elif isinstance(part, tuple):
        for at, each in enumerate(part):
            yield from find_components(each, f"{pointer}/{at}")
