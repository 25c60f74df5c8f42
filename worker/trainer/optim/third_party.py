"""Optimizers of the package pytorch-optimizer, by name; the package is imported only when used."""

import inspect
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch.optim import Optimizer

from service.errors import RunFailure
from worker.trainer.optim.base import Params
from worker.trainer.optional_imports import import_optional

NO_SETTINGS: Mapping[str, Any] = MappingProxyType({})
NOT_SETTINGS = ("params", "lr", "foreach", "maximize", "kwargs")


def pytorch_optimizer(
    params: Params, name: str, settings: Mapping[str, Any] = NO_SETTINGS, lr: float = 1e-3
) -> Optimizer:
    """Build the optimizer `name`; `settings` are further arguments of its class."""
    package = import_optional("pytorch_optimizer", "optim")
    made: type[Optimizer] = package.load_optimizer(name)
    known = [each for each in inspect.signature(made).parameters if each not in NOT_SETTINGS]
    unknown = sorted(set(settings) - set(known))  # most classes would ignore it
    if unknown:
        detail = f"/optimizer/settings of {name} has no {', '.join(unknown)}; it has {', '.join(known)}"
        raise RunFailure("spec_cannot_build", detail)
    return made(params, lr=lr, **settings)  # type: ignore[call-arg]
