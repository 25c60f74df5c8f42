"""From a component of the spec to the torch object it names."""

from collections.abc import Callable
from functools import cache
from pkgutil import resolve_name
from typing import Any

from torch import nn

from service.spec.component import Component
from service.spec.inits import Init_
from service.spec.models import Model_, model_kwargs

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)  # layers whose weights an initialisation is about


@cache
def resolve(target: str) -> Callable[..., Any]:
    """The callable that "module:name" names; targets are class attributes of ours, never part of a request."""
    found: Callable[..., Any] = resolve_name(target)
    return found


def build(component: Component, *args: Any, **policy: Any) -> Any:
    """Call the component's target with `args`, the component's own fields, and what the worker's policy adds.

    A model comes back initialised as its spec says.
    """
    if isinstance(component, Model_):
        model = resolve(component.target)(*args, **model_kwargs(component), **policy)
        initialise(model, component.init)
        return model
    return resolve(component.target)(*args, **component.kwargs(), **policy)


def initialise(model: nn.Module, init: Init_) -> None:
    """Fill weight matrices and kernels and set the biases beside them to 0; normalisations keep what they have."""
    if not init.target:
        return
    for layer in model.modules():
        if isinstance(layer, WEIGHTED):
            build(init, layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
