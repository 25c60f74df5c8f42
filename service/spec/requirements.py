"""What a spec needs of a worker beyond what every worker has: optional packages, plug-ins, a C++ compiler."""

from collections.abc import Iterator
from typing import Any

from service.spec.component import Component, Part
from service.spec.experiment import Experiment
from service.spec.plugins import PACKAGES

COMPILER = "c++"
INSTALL = {  # how a worker gets what it lacks; a plug-in's package is installed by its own name
    COMPILER: "install g++",
    "schedulefree": 'pip install "saddle[optim]"',
    "pytorch-optimizer": 'pip install "saddle[optim]"',
    "torchvision": 'pip install "saddle[vision]"',
    "timm": 'pip install "saddle[vision]"',
}


def packages_of(member: type[Component]) -> tuple[str, ...]:
    """The packages that a worker needs to build this kind."""
    return (*member.needs, *([PACKAGES[member]] if member in PACKAGES else []))


def requirements(spec: Part) -> dict[str, str]:
    """Package -> pointer of the first part that needs it."""
    found: dict[str, str] = {}
    for component, pointer in _components(spec, ""):
        for package in packages_of(type(component)):
            found.setdefault(package, f"{pointer}/kind")
    if isinstance(spec, Experiment) and spec.compile:
        found[COMPILER] = "/compile"
    return found


def install_command(package: str) -> str:
    """How a worker gets a package."""
    return INSTALL.get(package, f"pip install {package}")


def _components(part: Any, pointer: str) -> Iterator[tuple[Component, str]]:
    if isinstance(part, Component):
        yield part, pointer
    if isinstance(part, Part):
        for name in type(part).model_fields:
            yield from _components(getattr(part, name), f"{pointer}/{name}")
    elif isinstance(part, tuple):
        for at, each in enumerate(part):
            yield from _components(each, f"{pointer}/{at}")
