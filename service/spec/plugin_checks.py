"""Checks of a plug-in's class when the process starts: whether it can be a member of its family.

Otherwise a missing attribute would show only at the first request that uses the class, as a server error.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Annotated, ClassVar, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from service.spec.component import Component, Json

TARGET = Annotated[str, Field(pattern=r"^\w+(\.\w+)*:\w+(\.\w+)*$")]


def find_faults(added: object, base: type[Component], kind: str) -> Iterator[str]:
    """Yield whatever keeps `added` from being the member `kind` of the family of `base`, each as a predicate."""
    if not (isinstance(added, type) and issubclass(added, base)):
        yield f"is not a class derived from {base.__name__}"
        return
    yield from _kind(added, kind)
    yield from _old_names(added, base)
    yield from _attributes(added, base)
    yield from _methods(added, base)
    yield from _schema(added)


def _kind(added: type[Component], kind: str) -> Iterator[str]:
    field = added.model_fields["kind"]
    if get_origin(field.annotation) is not Literal or get_args(field.annotation) != (kind,) or field.default != kind:
        yield f'must have the field kind: Literal["{kind}"] = "{kind}"'


def _old_names(added: type[Component], base: type[Component]) -> Iterator[str]:
    """Yield what `added` defines under a name of 0.1, which is no longer read or called."""
    for old, new in base.renamed.items():
        if hasattr(added, old):
            yield f"has {old}, which is called {new} since 0.2: rename it"


def _attributes(added: type[Component], base: type[Component]) -> Iterator[str]:
    """Yield class attributes of the family that `added` lacks or gives a wrong type."""
    for name, declared in _declared(base).items():
        if name in added.model_fields:
            yield f"has {name} as a field, which a request could set: leave out its annotation"
            continue
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


def _declared(base: type[Component]) -> Json:
    """Return the type of every ClassVar of the family, by name."""
    found: Json = {}
    for each in reversed(base.__mro__):
        if each not in BaseModel.__mro__:
            hints = get_type_hints(each, include_extras=True)
            found |= {name: get_args(hint)[0] for name, hint in hints.items() if get_origin(hint) is ClassVar}
    return {name: hint for name, hint in found.items() if not name.startswith(("_", "model_"))}


def _has_instead(added: type[Component], base: type[Component], name: str) -> bool:
    other = base.instead.get(name)
    return other is not None and inspect.getattr_static(added, other) is not inspect.getattr_static(base, other)


def _methods(added: type[Component], base: type[Component]) -> Iterator[str]:
    """Yield abstract methods that `added` lacks, and methods and properties that it overrides with another form."""
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


def _takes(theirs: object, ours: Callable[..., object]) -> bool:
    """Return whether every call of our method fits theirs."""
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
    """Yield a fault if its fields have no JSON Schema, which the catalogue and the OpenAPI document show."""
    try:
        added.model_json_schema()
    except Exception as error:  # the author's annotations may raise anything
        line = re.split(r"\n", str(error))[0]
        yield f"has a field that has no JSON Schema: {line}"
