"""On-demand probes: what one measures, what it may read of a training, and how it leaves no trace in it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.backends import mha
from torch.optim import Optimizer

from service.nonfinite import spell, spelled
from service.spec.experiment import Experiment
from service.spec.probes import OnDemandProbe
from worker.trainer.data.batches import Batches
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.split import Split
from worker.trainer.data.text_codec import TextCodec
from worker.trainer.models.attention import twice_differentiable
from worker.trainer.numerics import current_determinism, set_deterministic, set_fp32_products, uses_tf32
from worker.trainer.step.evaluation import Validation
from worker.trainer.step.learning_rates import LearningRates
from worker.trainer.step.pipeline import StepPipeline
from worker.trainer.step.unfreezing import Unfreezing

DIGITS = 7  # of a number in a reading, which has at most 256 KiB
Component = TypeVar("Component", bound=OnDemandProbe)


class Measurement(NamedTuple):
    """Values become points of series, data is the reading."""

    values: dict[str, float]
    data: dict[str, Any] | None = None  # JSON, at most 256 KiB


class CheckpointWeights(NamedTuple):
    """The model's part of a checkpoint."""

    step: int
    weights: Mapping[str, Tensor]  # by name, as in `state_dict`


class ProbedTraining(Protocol):
    """What a probe may read of a training; `worker.trainer.loop.Training` is one."""

    spec: Experiment
    seed: int
    files: DatasetFolders
    device: torch.device
    step: int
    model: nn.Module
    criterion: nn.Module
    optimizers: list[Optimizer]
    batches: Batches
    rates: LearningRates
    unfreezing: Unfreezing
    pipeline: StepPipeline
    validation: Validation | None
    training_part: Validation | None
    test: Split
    codec: TextCodec | None  # of a language whose tokens can be written and read as text
    row_facts: dict[str, Any]  # what the sanity checks have found out about the rows, shared by trainings on the same
    coarse: dict[str, list[int]]  # unscaled columns of "features" or "target" that float32 can hardly tell apart

    def begin_step(self, step: int) -> bool:
        """Prepare update `step`; return whether other parameters learn than in the update before."""
        ...

    def state(self) -> dict[str, Any]:
        """Return everything that later steps depend on, random states aside."""
        ...

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a `state()`."""
        ...


class Instrument(Generic[Component]):
    """The implementation of an on-demand probe: it computes on a copy, at a cadence or at a kept checkpoint."""

    def __init__(self, component: Component) -> None:
        self.component = component

    def measure(self, training: ProbedTraining) -> Measurement:
        """Measure the training as it is after `training.step` updates."""
        raise NotImplementedError


@contextmanager
def side_effect_free(device: torch.device) -> Iterator[None]:
    """Allow drawing random numbers and taking gradients inside; restore the generators afterwards."""
    state, own = torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        with torch.enable_grad():
            yield
    finally:
        torch.set_rng_state(state)
        if own is not None:
            torch.cuda.set_rng_state(own, device)


@contextmanager
def differentiable(device: torch.device, model: nn.Module) -> Iterator[None]:
    """Like `side_effect_free`, with kernels that have a second derivative; on a GPU not all are deterministic.

    Products are exact fp32 also in a run by TF32: curvature is a difference of gradients, and TF32 keeps three digits.
    """
    determinism, fast, tf32 = current_determinism(), mha.get_fastpath_enabled(), uses_tf32()
    set_deterministic("off" if device.type == "cuda" else determinism)
    if tf32:
        set_fp32_products(tf32=False)
    mha.set_fastpath_enabled(False)  # it has no derivative, and other last bits
    try:
        with side_effect_free(device), twice_differentiable(model):
            yield
    finally:
        if tf32:
            set_fp32_products(tf32=True)
        mha.set_fastpath_enabled(fast)
        set_deterministic(determinism)


def rounded(values: Tensor | Sequence[float]) -> list[float | str]:
    """Return numbers as a reading holds them: rounded, non-finite ones spelled out."""
    plain = values.tolist() if isinstance(values, Tensor) else values
    return [spell(float(f"{value:.{DIGITS}g}")) for value in plain]


def as_json(**data: Any) -> dict[str, Any]:
    """Return a reading's data with every non-finite number spelled out."""
    found: dict[str, Any] = spelled(data)
    return found


def standard_error(values: Tensor) -> float | None:
    """Return the standard error of the mean; None for a single value."""
    return float(values.std() / len(values) ** 0.5) if len(values) > 1 else None


def not_applicable(why: str) -> Measurement:
    """Return a measurement that only says why there is nothing to measure."""
    return Measurement({}, {"not_applicable": why})
