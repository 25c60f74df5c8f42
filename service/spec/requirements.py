"""Requirements of a spec that not every worker meets: packages, plug-ins, a C++ compiler, several devices for a run."""

from collections.abc import Iterable, Mapping

from service.spec.component import Component, Part, find_components
from service.spec.experiment import Experiment
from service.spec.plugins import PACKAGES

COMPILER = "c++"
DEVICES = "devices="  # followed by the number of devices that train one run; not written for one
INSTALL = {  # the command for each package; a plug-in's is installed by its own name
    COMPILER: "install g++",
    "schedulefree": 'pip install "saddle[optim]"',
    "pytorch-optimizer": 'pip install "saddle[optim]"',
    "torchvision": 'pip install "saddle[vision]"',
    "timm": 'pip install "saddle[vision]"',
}


def packages_of(member: type[Component]) -> tuple[str, ...]:
    """Return the packages that a worker needs to build this kind; a plug-in's in the version that is installed here."""
    return (*member.needs, *([str(PACKAGES[member])] if member in PACKAGES else []))


def requirements(spec: Part) -> dict[str, str]:
    """Return each required package with the pointer of the first part that needs it."""
    found: dict[str, str] = {}
    for component, pointer in find_components(spec):
        for package in packages_of(type(component)):
            found.setdefault(package, f"{pointer}/kind")
    if isinstance(spec, Experiment) and spec.compile:
        found[COMPILER] = "/compile"
    if isinstance(spec, Experiment) and spec.resources.devices > 1:
        found[devices_need(spec.resources.devices)] = "/resources/devices"
    return found


def met_by(packages: Mapping[str, str]) -> list[str]:
    """Return the needs that a worker with these packages meets: each by its name alone, and in its version."""
    return sorted([*packages, *(f"{name}=={version}" for name, version in packages.items())])


def devices_need(devices: int) -> str:
    """Return the name under which a worker announces how many devices its slot has."""
    return f"{DEVICES}{devices}"


def with_devices(needs: Iterable[str]) -> list[str]:
    """Return the needs of a run with its number of devices, which is 1 where none is named."""
    found = list(needs)
    return found if any(need.startswith(DEVICES) for need in found) else [*found, devices_need(1)]


def describe_need(need: str) -> str:
    """Return a need in words, as the object of "has"."""
    if not need.startswith(DEVICES):
        return need
    devices = int(need.removeprefix(DEVICES))
    return "a slot with one device" if devices == 1 else f"a slot with {devices} devices"


def how_to_meet(need: str, pool: str) -> str:
    """Return what an operator does so that a worker of the pool meets a need."""
    if not need.startswith(DEVICES):
        return f"on a worker, {INSTALL.get(need, f'pip install {need}')}"
    devices = int(need.removeprefix(DEVICES))
    names = ["cpu"] * devices if pool == "cpu" else [str(index) for index in range(devices)]
    return f"start a worker with SADDLE_DEVICES={'+'.join(names)}"
