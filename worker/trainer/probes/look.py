"""What an instrument finds, what it may look at, and the promise that looking changes nothing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.backends import mha
from torch.optim import Optimizer

from service.nonfinite import spell, spelled
from service.spec.experiment import Experiment
from worker.trainer.data.batches import Batches
from worker.trainer.device import refuse_chance
from worker.trainer.models.attention import twice_differentiable
from worker.trainer.step.mechanics import Mechanics
from worker.trainer.step.rates import Rates

DIGITS = 7  # of a number in data: a reading is drawn and read, and has at most 256 KiB


class Look(NamedTuple):
    """What one look found: values become series, data is the reading."""

    values: dict[str, float]
    data: dict[str, Any] | None = None  # JSON, at most 256 KiB


class Subject(Protocol):
    """What an instrument sees of a training; `worker.trainer.loop.Training` is one."""

    spec: Experiment
    seed: int
    device: torch.device
    step: int
    model: nn.Module
    criterion: nn.Module
    optimizers: list[Optimizer]
    batches: Batches
    rates: Rates
    mechanics: Mechanics

    def state(self) -> dict[str, Any]:
        """All that later steps depend on, random states aside."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state()`."""
        ...


class Looker(Protocol):
    """An instrument that works on a copy: made from its component, asked as often as its cadence says."""

    def look(self, training: Subject) -> Look:
        """Look at the training as it is after `training.step` updates."""
        ...


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Inside, random numbers are drawn and gradients taken; outside, no generator has moved."""
    cuda = device.type == "cuda"
    states, cudas = torch.get_rng_state(), torch.cuda.get_rng_state_all() if cuda else []
    try:
        with torch.enable_grad():
            yield
    finally:
        torch.set_rng_state(states)
        if cuda:
            torch.cuda.set_rng_state_all(cudas)


@contextmanager
def differentiable(device: torch.device) -> Iterator[None]:
    """The same, with kernels that have a second derivative; on a GPU some of those are not deterministic."""
    strict, fast = torch.are_deterministic_algorithms_enabled(), mha.get_fastpath_enabled()
    refuse_chance(strict and device.type != "cuda")
    mha.set_fastpath_enabled(False)  # it has no derivative, and other last bits
    try:
        with undisturbed(device), twice_differentiable():
            yield
    finally:
        mha.set_fastpath_enabled(fast)
        refuse_chance(strict)


def rounded(values: Tensor | Sequence[float]) -> list[float | str]:
    """Numbers as a reading holds them: short, and non-finite ones spelled."""
    plain = values.tolist() if isinstance(values, Tensor) else values
    return [spell(float(f"{value:.{DIGITS}g}")) for value in plain]


def document(**data: Any) -> dict[str, Any]:
    """A reading's data with every non-finite number spelled."""
    found: dict[str, Any] = spelled(data)
    return found


def not_applicable(why: str) -> Look:
    """A look where there is nothing to see."""
    return Look({}, {"not_applicable": why})
