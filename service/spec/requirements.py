"""Requirements of a spec that not every worker meets: optional packages, plug-ins, a C++ compiler."""

from collections.abc import Iterator

from service.spec.component import Component, Part
from service.spec.experiment import Experiment
from service.spec.plugins import PACKAGES

COMPILER = "c++"
INSTALL = {  # the command for each package; a plug-in's is installed by its own name
    COMPILER: "install g++",
    "schedulefree": 'pip install "saddle[optim]"',
    "pytorch-optimizer": 'pip install "saddle[optim]"',
    "torchvision": 'pip install "saddle[vision]"',
    "timm": 'pip install "saddle[vision]"',
}


def packages_of(member: type[Component]) -> tuple[str, ...]:
    """Return the packages that a worker needs to build this kind."""
    return (*member.needs, *([PACKAGES[member]] if member in PACKAGES else []))


def requirements(spec: Part) -> dict[str, str]:
    """Return each required package with the pointer of the first part that needs it."""
    found: dict[str, str] = {}
    for component, pointer in _components(spec, ""):
        for package in packages_of(type(component)):
            found.setdefault(package, f"{pointer}/kind")
    if isinstance(spec, Experiment) and spec.compile:
        found[COMPILER] = "/compile"
    return found


def install_command(package: str) -> str:
    """Return the command that installs a package on a worker."""
    return INSTALL.get(package, f"pip install {package}")


def _components(part: object, pointer: str) -> Iterator[tuple[Component, str]]:
    if isinstance(part, Component):
        yield part, pointer
    if isinstance(part, Part):
        for name in type(part).model_fields:
            yield from _components(getattr(part, name), f"{pointer}/{name}")
    elif isinstance(part, tuple):
        for at, each in enumerate(part):
            yield from _components(each, f"{pointer}/{at}")
