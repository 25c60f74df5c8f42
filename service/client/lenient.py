"""Reading the answers of an older or newer server: the one place where the client is lenient.

A missing field is None or empty, a value that the schema does not allow stays as it was sent, a field that this version
does not know is an attribute too, and `raw` is the whole answer. `answer["name"]` is `answer.raw["name"]`.
"""

from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator


class Lenient(BaseModel):
    """What a schema gains when the client reads with it."""

    model_config = ConfigDict(extra="allow")

    raw: dict[str, Any] = Field(default_factory=dict, repr=False)

    @model_validator(mode="before")
    @classmethod
    def keep_raw(cls, document: Any) -> Any:
        """Keep the answer as it was sent."""
        return {**document, "raw": document} if isinstance(document, dict) else document

    def __getitem__(self, name: str) -> Any:
        return self.raw[name]


@cache
def relax(schema: type[BaseModel]) -> type[BaseModel]:
    """Return a subclass of the schema in which each field may be missing and may hold any value."""
    fields: dict[str, Any] = {}
    for name, field in schema.model_fields.items():
        kind, origin = _relax_type(field.annotation), get_origin(field.annotation)
        if kind is not Any:
            kind = Annotated[kind | Any, Field(union_mode="left_to_right")]
        fields[name] = (kind, Field(default_factory=origin if origin in (list, tuple, dict) else lambda: None))
    return create_model(schema.__name__, __base__=(schema, Lenient), **fields)


def _relax_type(kind: Any) -> Any:
    """Return the type with each schema in it relaxed; one that forbids unknown fields stays JSON."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return Any if kind.model_config.get("extra") == "forbid" else relax(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if not arguments or origin is Literal:
        return kind
    if origin is Annotated:
        return Annotated[(_relax_type(arguments[0]), *arguments[1:])]
    relaxed = tuple(map(_relax_type, arguments))
    return reduce(or_, relaxed) if origin in (Union, UnionType) else origin[relaxed]
