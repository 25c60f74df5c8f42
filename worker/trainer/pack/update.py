"""A parameter group of every member in one: stacked weights, stacked optimizer state, and its updates."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer

from worker.trainer.pack.numbers import Coefficients, Hyperparameters, coefficients
from worker.trainer.pack.optimizers import RULES
from worker.trainer.pack.rates import Table
from worker.trainer.pack.stack import Stack

COUNTERS = ("step", "seen")  # of a parameter's updates so far: a tensor of torch's, a number of ours


class StackedOptimizer(NamedTuple):
    """The state of one parameter group of R members, as a probe reads an optimizer's."""

    class_name: str
    param_groups: list[dict[str, Any]]
    state: dict[Tensor, dict[str, Any]]


class StackedGroup:
    """The same parameter group of R members, each of which has made at least one update."""

    def __init__(self, optimizers: Sequence[Optimizer], at: int, apart: bool) -> None:
        """Stack them, the tensors of each parameter `apart` or all in one piece."""
        self.optimizers, self.at = list(optimizers), at
        self.rule = RULES[type(optimizers[0]).__name__]
        owned = [group["params"] for group in self.groups]
        self.parameters = Stack(owned, apart)
        states = {name: self._stacked(name, owned) for name in (*self.rule.states, "step", "mu_product")}
        self.stacks = {name: stack for name, stack in states.items() if stack is not None}
        self.states = [name for name in self.rule.states if name in self.stacks]
        self.tensors = self.parameters.parts()  # (R, ...) of each parameter
        self.made = np.array([self._first_state(slot) for slot in range(len(self.optimizers))], np.float64)
        self._counted = [  # states with a count of ours
            [state for p in group["params"] if "seen" in (state := optimizer.state[p])]
            for optimizer, group in zip(self.optimizers, self.groups, strict=True)
        ]

    @property
    def groups(self) -> list[dict[str, Any]]:
        """torch's groups, new objects after a checkpoint is loaded."""
        return [optimizer.param_groups[self.at] for optimizer in self.optimizers]

    def _stacked(self, name: str, owned: Sequence[Sequence[Tensor]]) -> Stack | None:
        """Stack a tensor of each parameter's state; a member without it, whose momentum is 0, gets one of zeros."""
        states = [[optimizer.state[p] for p in own] for optimizer, own in zip(self.optimizers, owned, strict=True)]
        if not any(isinstance(state.get(name), Tensor) for own in states for state in own):
            return None
        found = [
            [
                state[name] if isinstance(state.get(name), Tensor) else torch.zeros_like(p)
                for p, state in zip(*pair, strict=True)
            ]
            for pair in zip(owned, states, strict=True)
        ]
        return Stack(found, self.parameters.apart and name in self.rule.states)

    def keep(self, slots: Sequence[int]) -> None:
        """Keep the members in these slots."""
        self.optimizers = [self.optimizers[slot] for slot in slots]
        self.made = self.made[list(slots)]  # updates (R,) of the first parameter; 0 where nobody counts
        self._counted = [self._counted[slot] for slot in slots]
        for stack in (self.parameters, *self.stacks.values()):
            stack.keep(slots)
        self.tensors = self.parameters.parts()

    def as_optimizer(self) -> StackedOptimizer:
        """Return what probes read of it."""
        like = self.tensors[0]
        numbers = {name: _in_common([group[name] for group in self.groups], like) for name in self.groups[0]}
        made = _in_common(self.made.tolist(), like)
        parts = {name: self.stacks[name].parts() for name in self.states}
        state = {
            p: {"step": made} | {name: parts[name][at] for name in self.states} for at, p in enumerate(self.tensors)
        }
        groups = [numbers | {"params": self.tensors}]
        return StackedOptimizer(type(self.optimizers[0]).__name__, groups, state)

    def plan(self, lr: Table, cycled: Table | None) -> list[Coefficients]:
        """Return the numbers of the next updates, one for each row of `lr`."""
        t = self.made + np.arange(1, len(lr) + 1)[:, None]
        groups = self.groups
        if product := self.stacks.get("mu_product"):
            products = product.flat[:, 0].tolist()
            groups = [group | {"mu_product": value} for group, value in zip(groups, products, strict=True)]
        tables = self.rule.plan(Hyperparameters(groups, lr, t, cycled), groups[0])
        return coefficients(tables, len(lr), self.tensors[0])

    def _first_state(self, slot: int) -> float:
        """Return how many updates the first parameter has had; 0 where nobody counts."""
        state = self.optimizers[slot].state[self.groups[slot]["params"][0]]
        return next((float(state[name]) for name in COUNTERS if name in state), 0.0)

    def update(self, gradients: Sequence[Tensor], numbers: Coefficients) -> None:
        """Make an update along the gradients (R, n) of each piece."""
        flags = self.groups[0]
        for at, (p, g) in enumerate(zip(self.parameters.pieces, gradients, strict=True)):
            states = {name: self.stacks[name].pieces[at] for name in self.states}
            self.rule.update(p, g, states, numbers, flags)
        if "mu_product" in self.stacks:
            self.stacks["mu_product"].flat.mul_(numbers["mu"])

    def count(self, updates: int) -> None:
        """Count the updates that were made."""
        if "step" in self.stacks:
            self.stacks["step"].flat.add_(updates)
        for state in (each for own in self._counted for each in own):
            state["seen"] += updates
        if "step" in self.stacks or any(self._counted):
            self.made += updates


def _in_common(values: Sequence[Any], like: Tensor) -> Any:
    """Return the members' value of a group's field; numbers in which they differ as (R, 1), in double precision."""
    first = values[0]
    if isinstance(first, tuple):
        return tuple(_in_common(own, like) for own in zip(*values, strict=True))
    if not isinstance(first, float | int) or all(value == first for value in values):
        return first
    return torch.tensor(values, dtype=torch.float64, device=like.device).unsqueeze(1)
