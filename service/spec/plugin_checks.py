"""What a plug-in's class must have to be a member of its family; checked when the process starts.

What a class lacks would otherwise show at the first request that uses it, as an error of the server.
"""

import inspect
import re
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from service.spec.component import Component

TARGET = Annotated[str, Field(pattern=r"^\w+(\.\w+)*:\w+(\.\w+)*$")]


def find_faults(added: Any, base: type[Component], kind: str) -> Iterator[str]:
    """Everything that keeps `added` from being the member `kind` of the family of `base`, in words that follow it."""
    if not (isinstance(added, type) and issubclass(added, base)):
        yield f"is not a class derived from {base.__name__}"
        return
    yield from _kind(added, kind)
    yield from _attributes(added, base)
    yield from _methods(added, base)
    yield from _schema(added)


def _kind(added: type[Component], kind: str) -> Iterator[str]:
    field = added.model_fields["kind"]
    if get_origin(field.annotation) is not Literal or get_args(field.annotation) != (kind,) or field.default != kind:
        yield f'must have the field kind: Literal["{kind}"] = "{kind}"'


def _attributes(added: type[Component], base: type[Component]) -> Iterator[str]:
    """The class attributes that the family declares."""
    for name, declared in _declared(base).items():
        if not hasattr(added, name):
            if not _has_instead(added, base, name):
                yield f"lacks the class attribute {name}: {inspect.formatannotation(declared)}"
            continue
        wanted = TARGET if name == "target" and not hasattr(base, name) else declared
        try:
            TypeAdapter(wanted).validate_python(getattr(added, name), strict=True)
        except ValidationError:
            form = '"module:name"' if wanted is TARGET else inspect.formatannotation(declared)
            yield f"has {name} = {getattr(added, name)!r}, which must be {form}"


def _declared(base: type[Component]) -> dict[str, Any]:
    """Name -> type of every ClassVar of the family."""
    found: dict[str, Any] = {}
    for each in reversed(base.__mro__):
        if each not in BaseModel.__mro__:
            hints = get_type_hints(each, include_extras=True)
            found |= {name: get_args(hint)[0] for name, hint in hints.items() if get_origin(hint) is ClassVar}
    return {name: hint for name, hint in found.items() if not name.startswith(("_", "model_"))}


def _has_instead(added: type[Component], base: type[Component], name: str) -> bool:
    other = base.instead.get(name)
    return other is not None and inspect.getattr_static(added, other) is not inspect.getattr_static(base, other)


def _methods(added: type[Component], base: type[Component]) -> Iterator[str]:
    """The family's methods and properties: those without a body of their own, and those that were overridden."""
    for name in dir(base):
        if name.startswith("_") or hasattr(BaseModel, name):
            continue
        theirs, ours = inspect.getattr_static(added, name), inspect.getattr_static(base, name)
        if theirs is ours:
            if name in base.abstract and not _has_instead(added, base, name):
                yield f"lacks the method {name}{inspect.signature(ours)}"
        elif inspect.isfunction(ours) and not _takes(theirs, ours):
            found = f"{name}{inspect.signature(theirs)}" if inspect.isfunction(theirs) else f"{name}, which is none"
            yield f"must have the method {name}{inspect.signature(ours)}, and has {found}"
        elif isinstance(ours, property) and inspect.isfunction(theirs):
            yield f"must have {name} as a property, and has a method"


def _takes(theirs: Any, ours: Any) -> bool:
    """Whether every call of our method fits theirs."""
    if not inspect.isfunction(theirs):
        return False
    asked = inspect.signature(ours).parameters.values()
    given = [each for each in asked if each.kind is not each.KEYWORD_ONLY]
    named = {each.name: each for each in asked if each.kind is each.KEYWORD_ONLY}
    required = [each for each in given if each.default is each.empty]
    try:
        inspect.signature(theirs).bind(*given, **named)
        inspect.signature(theirs).bind(*required)
    except TypeError:
        return False
    return True


def _schema(added: type[Component]) -> Iterator[str]:
    """Its fields must be describable: the catalogue and the OpenAPI document show them."""
    try:
        added.model_json_schema()
    except Exception as error:  # whatever the author's annotations raise
        line = re.split(r"\n", str(error))[0]
        yield f"has a field that has no JSON Schema: {line}"
