"""What the tests of the instruments share."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from service.spec.experiment import Experiment
from worker.trainer.loop import Training, prepare, train

CPU = torch.device("cpu")
FIELDS: dict[str, Any] = {**dict.fromkeys(("along", "at", "x", "y", "reach")), "rows": 2048, "batch_norm": "train"}


@pytest.fixture
def component() -> Callable[..., Any]:
    """An instrument's fields with what the test changes."""
    return lambda **changes: SimpleNamespace(**FIELDS | changes)


@pytest.fixture
def trained(experiment: Callable[..., Experiment]) -> Callable[..., Training]:
    """A training of the changed spec after `at` updates."""

    def make(at: int = 0, seed: int = 0, **changes: Any) -> Training:
        training = prepare(experiment(**changes), seed, CPU)
        for step in train(training) if at else ():
            if step.step == at:
                break
        return training

    return make


@pytest.fixture
def objective(trained: Callable[..., Training]) -> Callable[..., Training]:
    """A training of an analytic objective, where it starts."""

    def make(kind: str, start: tuple[float, ...], at: int = 0, lr: float = 0.01, **fields: Any) -> Training:
        parts: dict[str, Any] = {"dataset": {"kind": "none"}, "loss": {"kind": "objective"}, "batch_size": 1}
        model = {"kind": kind, "start": start} | fields
        return trained(at, model=model, optimizer={"kind": "sgd", "lr": lr}, **parts)

    return make
