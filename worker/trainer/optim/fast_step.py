"""Optimizer updates without torch's wrappers, which check for hooks and insert graph breaks for its compiler.

Every `step` of torch.optim imports torch's compiler, as do building, saving and loading an optimizer. That import took
6 of the 19 seconds of processor time in which a trainer warmed up, and nothing else here needs it.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

OURS = ("torch.optim.", "worker.trainer.optim.")  # the step of other optimizers is called unchanged
UNCOMPILED = (Optimizer.add_param_group, Optimizer.state_dict, Optimizer.load_state_dict, Optimizer.zero_grad)
CACHE = "__dynamo_disable"  # where torch caches the compiler's version of a method
HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


def fast_step(optimizer: Optimizer) -> Callable[[], Any]:
    """Return a function that makes one update; it calls `optimizer.step` itself while there are hooks."""
    if not type(optimizer).__module__.startswith(OURS):
        return optimizer.step
    plain_step = unwrapped_step(optimizer)
    before, after = (getattr(optimizer, name) for name in HOOKS)

    def update() -> Any:
        return optimizer.step() if before or after else plain_step()

    return update


def unwrapped_step(optimizer: Optimizer) -> Callable[[], Any]:
    """Return the innermost `step` of its class, under no_grad."""
    return torch.no_grad()(inspect.unwrap(type(optimizer).step).__get__(optimizer))  # type: ignore[no-any-return]


def skip_dynamo_wrappers() -> None:
    """Make torch call those methods directly, because nothing here compiles them."""
    for method in UNCOMPILED:
        if plain := getattr(method, "__wrapped__", None):
            plain.__dict__.setdefault(CACHE, plain)
