"""The classes that a package offers: whether each can be a member of its family. Nothing is built or trained."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint

from service.spec import plugins
from service.spec.plugin_checks import find_faults


def check_declarations(package: str) -> dict[str, list[str]]:
    """Return what is wrong with each component of a package, by the name of its entry point.

    In this process the package's components are in no family from now on.
    """
    points = plugins.withhold(package)
    return {point.name: list(_faults(point)) for point in sorted(points, key=lambda point: point.name)}


def _faults(point: EntryPoint) -> Iterator[str]:
    from service.spec.catalog import BASES, CATALOG  # noqa: PLC0415  loads the families, without these components

    family, _, kind = point.name.partition(".")
    if family not in BASES or not kind:
        yield f"must be named family.kind, with a family of {', '.join(BASES)}"
        return
    try:
        added = point.load()
    except Exception as error:  # importing it may do anything
        yield f"cannot be loaded from {point.value}: {type(error).__name__}: {error}"
        return
    name, base = BASES[family]
    yield from find_faults(added, base, kind)
    if kind in CATALOG[name]:
        yield "is already there: choose another kind"
