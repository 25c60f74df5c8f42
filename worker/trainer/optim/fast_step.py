"""An optimizer's update without what torch wraps around it: a look for hooks, and breaks for its compiler.

Every `step` of torch.optim imports torch's compiler, to tell it where to break; so do making, saving and loading one.
That import is 6 of the 19 seconds of processor time that a trainer took to be warm, and nothing else here needs it.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

OURS = ("torch.optim.", "worker.trainer.optim.")  # what else calls itself an optimizer is called as it is
SHIELDED = (Optimizer.add_param_group, Optimizer.state_dict, Optimizer.load_state_dict, Optimizer.zero_grad)
CACHE = "__dynamo_disable"  # where torch keeps what its compiler would make of such a method
HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


def fast_step(optimizer: Optimizer) -> Callable[[], Any]:
    """One update by the gradients that are there; `optimizer.step` itself while somebody hooks on to it."""
    if not type(optimizer).__module__.startswith(OURS):
        return optimizer.step
    alone = bare(optimizer)
    before, after = (getattr(optimizer, name) for name in HOOKS)

    def update() -> Any:
        return optimizer.step() if before or after else alone()

    return update


def bare(optimizer: Optimizer) -> Callable[[], Any]:
    """The innermost `step` of its class, without gradients of its own."""
    return torch.no_grad()(inspect.unwrap(type(optimizer).step).__get__(optimizer))  # type: ignore[no-any-return]


def skip_dynamo_wrappers() -> None:
    """Have torch call those methods as they are: nothing of ours has them compiled."""
    for method in SHIELDED:
        if plain := getattr(method, "__wrapped__", None):
            plain.__dict__.setdefault(CACHE, plain)
