"""Operators' own components: what installed packages add to a family's union when the process starts.

A package offers classes as entry points of the group "saddle.components", named "<family>.<kind>":

    [project.entry-points."saddle.components"]
    "model.fourier" = "our_models.spec:Fourier"

The class derives from the family's base and names its target itself, so no request can name code. API and worker both
need the package. A module with such classes imports the family's `base` only, and serves one family: it is loaded
while that family is.
"""

from importlib.metadata import entry_points
from types import ModuleType
from typing import Annotated, Any, Union, get_args

from pydantic import Field

from service.spec.component import Component

GROUP = "saddle.components"


def extended(family: str, union: Any, base: type[Component]) -> Any:
    """`union`, an annotated union of a family's members, with those that installed packages add to it."""
    members: list[type[Component]] = list(get_args(get_args(union)[0]))
    found = sorted((point for point in entry_points(group=GROUP) if point.name.startswith(f"{family}.")), key=str)
    for point in found:
        added = point.load()
        _check(point.name, added, base, members)
        members.append(added)
    return Annotated[Union[tuple(members)], Field(discriminator="kind")] if found else union  # noqa: UP007


def gathered(base: type[Component], *modules: ModuleType) -> Any:
    """The union of every class of the family that `modules` hold, in their order; what ends in _ is a base."""
    found = [
        each
        for module in modules
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, base) and each.__module__ == module.__name__
    ]
    members = tuple(each for each in found if not each.__name__.endswith("_"))
    return Annotated[Union[members], Field(discriminator="kind")]  # noqa: UP007  it is known at run time only


def _check(name: str, added: Any, base: type[Component], members: list[type[Component]]) -> None:
    """A wrong plug-in stops the process at its start, by name, rather than a run later."""
    if not (isinstance(added, type) and issubclass(added, base)):
        raise TypeError(f"{GROUP}: {name} is not a class derived from {base.__name__}")
    kind = name.partition(".")[2]
    if added.model_fields["kind"].default != kind:
        raise TypeError(f"{GROUP}: the kind of {name} is {added.model_fields['kind'].default!r}, and must be {kind!r}")
    if kind in {member.model_fields["kind"].default for member in members}:
        raise TypeError(f"{GROUP}: there is already a {name}")
