"""Plug-ins: components that installed packages add to a family's union when the process starts.

A package offers classes as entry points of the group "saddle.components", named "<family>.<kind>":

    [project.entry-points."saddle.components"]
    "model.fourier" = "our_models.spec:Fourier"

The class derives from the family's base and names its target itself, so no request can name code. API and worker both
need the package, in the same version: a run needs `name==version`, and the version is part of its spec's hash. A module
with such classes imports the family's `base` only, and serves one family: it is loaded
while that family is.
"""

from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType
from typing import Annotated, Any, NamedTuple, Union

from pydantic import Field

from service.errors import SaddleError
from service.spec.component import Component, find_components
from service.spec.plugin_checks import find_faults
from service.spec.plugin_code import code_digest

GROUP = "saddle.components"
FAMILIES = (  # that plug-ins can add to
    *("dataset", "model", "loss", "optimizer", "schedule", "init", "probe", "augmentation", "metric"),
    "preparation",
)


class PluginPackage(NamedTuple):
    """A package that offers components; as text it is what a run needs of its worker."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version}"


PACKAGES: dict[type[Component], PluginPackage] = {}  # class of a plug-in -> the package that brings it
_digests: dict[str, str] = {}  # package -> hash of its code, when its components were loaded
_withheld: set[str] = set()  # packages whose components stay out of their families


class BrokenPlugin(SaddleError):
    """An installed package offers something that cannot be a member of its family."""


def family_union(family: str, base: type[Component], *modules: ModuleType, own: type[Component] | None = None) -> Any:
    """Return the union of a family: its classes in `modules`, in their order, then those of installed packages.

    A class without a kind of its own is a base of others, not a member. Packages derive theirs from `own`, else `base`.
    """
    members: list[type[Component]] = [
        each
        for module in modules
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, base) and each.__module__ == module.__name__
        if not each.model_fields["kind"].is_required()
    ]
    for point in sorted(_offered(family), key=str):
        members.append(_member(point, own or base, members))
        package = PluginPackage(_package(point), point.dist.version if point.dist else "")
        PACKAGES[members[-1]] = package
        if package.name not in _digests:
            _digests[package.name] = code_digest(point)
    return Annotated[Union[tuple(members)], Field(discriminator="kind")]  # noqa: UP007  it is known at run time only


def withhold(package: str) -> list[EntryPoint]:
    """Keep a package's components out of the families loaded from now on; return them, to be looked at one by one."""
    _withheld.add(package)
    return [point for point in entry_points(group=GROUP) if _package(point) == package]


def used_packages(part: object) -> dict[str, str]:
    """Return the packages whose components a part of a spec chooses, with their versions."""
    kinds = {type(component) for component, _ in find_components(part)}
    return dict(sorted(PACKAGES[kind] for kind in kinds if kind in PACKAGES))


def used_code(part: object) -> dict[str, str]:
    """Return the hash of the code of each package in `used_packages`, as it was when this process loaded it."""
    return {name: _digests[name] for name in used_packages(part) if name in _digests}


@lru_cache(maxsize=1)
def _components() -> tuple[EntryPoint, ...]:
    """Return the entry points of all families; reading the metadata of every installed package takes 15 ms."""
    return tuple(point for point in entry_points(group=GROUP) if _package(point) not in _withheld)


def _offered(family: str) -> Iterator[EntryPoint]:
    """Yield the entry points of a family; raise `BrokenPlugin` for one of an unknown family."""
    for point in _components():
        of, _, kind = point.name.partition(".")
        if of not in FAMILIES or not kind:
            raise _broken(point, f"must be named family.kind, with a family of {', '.join(FAMILIES)}")
        if of == family:
            yield point


def _member(point: EntryPoint, base: type[Component], members: list[type[Component]]) -> type[Component]:
    """Return the class that a package offers; raise `BrokenPlugin`, which stops the process at its start."""
    try:
        added = point.load()
    except Exception as error:  # importing it may do anything
        raise _broken(point, f"cannot be loaded from {point.value}: {type(error).__name__}: {error}") from error
    kind = point.name.partition(".")[2]
    if found := list(find_faults(added, base, kind)):
        raise _broken(point, "; ".join(found))
    if kind in {member.model_fields["kind"].default for member in members}:
        raise _broken(point, "is already there: choose another kind")
    member: type[Component] = added
    return member


def _broken(point: EntryPoint, fault: str) -> BrokenPlugin:
    version = f" {point.dist.version}" if point.dist else ""
    return BrokenPlugin(f"the plug-in {_package(point)}{version} is broken: {point.name} {fault}")


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.module
