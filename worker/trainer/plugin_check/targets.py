"""The callable that a component names: whether it is there, has its methods, and takes the component's fields."""

import inspect
from collections.abc import Iterator
from pkgutil import resolve_name
from typing import Any

from torch import nn
from torch.optim import Optimizer

from service.spec.component import Component
from service.spec.datasets import DatasetBase
from service.spec.models import ModelBase, model_kwargs
from service.spec.probes import OnDemandProbe
from worker.trainer.probes.inline.base import InlineProbe

PASSED = {"model": "the row's shape and the number of outputs", "optimizer": "the parameters", "init": "the tensor"}
BASES: dict[str, type[Any]] = {"model": nn.Module, "loss": nn.Module, "optimizer": Optimizer}
METHODS = {"model": ("forward",), "loss": ("forward",), "optimizer": ("step",)}
CALLED = {"metric": ("update", "compute"), "preparation": ("fit", "change")}  # of objects of any class


def target_faults(family: str, component: Component) -> Iterator[str]:
    """Yield what is wrong with the target of a component, before it is called."""
    if not component.target:  # a schedule is its own rule
        return
    try:
        target = resolve_name(component.target)
    except Exception as error:  # importing it may do anything
        yield f"names {component.target}, which cannot be loaded: {type(error).__name__}: {error}"
        return
    if family == "probe":
        yield from _probe_faults(component, target)
        return
    if isinstance(target, type):
        for name in CALLED.get(family, ()):
            if not callable(getattr(target, name, None)):
                yield f"names {component.target}, which lacks the method {name}"
    if isinstance(target, type) and family in BASES:
        base = BASES[family]
        if not issubclass(target, base):
            what = f"{base.__module__.partition('.')[0]} {base.__name__}"
            yield f"names {component.target}, which is no {what}: derive it from that"
            return
        for name in METHODS[family]:
            if getattr(target, name, None) is getattr(base, name, None):
                yield f"names {component.target}, which lacks the method {name}"
    yield from _argument_faults(family, component, target)


def _argument_faults(family: str, component: Component, target: Any) -> Iterator[str]:
    """Yield a fault if the target does not take what it is called with."""
    given = model_kwargs(component) if isinstance(component, ModelBase) else component.kwargs()
    first: list[object] = [None] * {"model": 2, "optimizer": 1, "init": 1}.get(family, 0)
    first += [None] * (isinstance(component, DatasetBase) and component.stored) + [None] * getattr(
        component, "sized", False
    )
    first += [None] * getattr(component, "takes_classes", False)
    try:
        inspect.signature(target).bind(*first, **given)
    except TypeError as error:
        called = f"{PASSED[family]}, then " if family in PASSED else ""
        fields = ", ".join(given) or "no field"
        yield f"names {component.target}, which does not take {called}{fields}: {error}"
    except ValueError:  # written in C, without a signature
        return


def _probe_faults(component: Component, target: Any) -> Iterator[str]:
    on_demand = isinstance(component, OnDemandProbe)
    if on_demand and not callable(getattr(target, "measure", None)):
        yield f"names {component.target}, which lacks the method measure(self, training)"
    elif not on_demand and not (isinstance(target, type) and issubclass(target, InlineProbe)):
        base = f"{InlineProbe.__module__}:InlineProbe"
        yield f"names {component.target}, which is no InlineProbe: derive it from {base}"
