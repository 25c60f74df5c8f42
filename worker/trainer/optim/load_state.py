"""The restoring of an optimizer's state, which may have been written on another kind of device."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import ASGD, Optimizer

COUNTERS = {"step", "mu_product"}  # numbers that each parameter's state has
SWITCHES = ("foreach", "fused", "capturable", "differentiable")  # how an update is computed: the reader's choice


def load_optimizer(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Continue from a state_dict, which may come from another kind of device.

    Torch would take over the writer's switches: fused on a device that has no fused kernel, or a `step` on the wrong
    device.
    """
    own = [{name: group[name] for name in SWITCHES if name in group} for group in optimizer.param_groups]
    groups = [
        {name: value for name, value in group.items() if name not in SWITCHES} | switches
        for group, switches in zip(saved["param_groups"], own, strict=True)
    ]
    optimizer.load_state_dict({"state": saved["state"], "param_groups": groups})
    if type(optimizer).__module__.startswith("torch.optim."):
        _place_counters(optimizer)


def _place_counters(optimizer: Optimizer) -> None:
    """Put each counter where torch's own optimizers create it: on the CPU unless a kernel reads it on the device."""
    for group in optimizer.param_groups:
        on_device = group.get("capturable") or group.get("fused") or isinstance(optimizer, ASGD)
        for p in group["params"]:
            state = optimizer.state.get(p, {})
            for name in COUNTERS & state.keys():
                if isinstance(state[name], Tensor):
                    state[name] = state[name].to(p.device if on_device else "cpu", torch.get_default_dtype())
