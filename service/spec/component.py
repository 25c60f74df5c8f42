"""A component: one choosable part, a member of a union told apart by `kind`."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from service.errors import Problem

Rate = Annotated[float, Field(gt=0, le=10)]
Beta = Annotated[float, Field(ge=0, lt=1)]
Decay = Annotated[float, Field(ge=0, le=1)]
Epsilon = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=10**8)]
Width = Annotated[int, Field(ge=1, le=65_536)]


class Default(NamedTuple):
    """What a field becomes that was left out, where its usual default does not fit the rest, and why."""

    field: str
    value: Any
    why: str


class Part(BaseModel):
    """A frozen piece of a spec: unknown fields, coercions and non-finite numbers are refused."""

    # validators are built on first use: the catalogue's would take a fifth of a second of every import
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)

    def problems(self) -> Iterator[Problem]:
        """What contradicts itself although every field is right alone; pointers start at this part."""
        yield from ()


class Component(Part):
    """A part whose fields are keyword arguments of the callable that `target` names.

    `target` is "module:name": a string, so that the API needs no torch; a class attribute, so that no request sets it.
    `left_out` names the callable's other arguments, each with the reason why a spec does not choose it.
    """

    target: ClassVar[str]
    left_out: ClassVar[dict[str, str]] = {}
    formula: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    needs: ClassVar[tuple[str, ...]] = ()  # packages that not every worker has, by their names in an index
    abstract: ClassVar[tuple[str, ...]] = ()  # methods that each member of the family must have
    instead: ClassVar[dict[str, str]] = {}  # what a member may lack -> what it must override then

    kind: str  # each member narrows it to its own word; declared here, so that it comes first in the JSON

    def kwargs(self) -> dict[str, Any]:
        """The fields as keyword arguments, `kind` left out."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "kind"}
