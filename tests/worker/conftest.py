"""What every test of the computing side shares."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from service.spec.experiment import Experiment

Make = Callable[..., Experiment]
PLAIN: dict[str, Any] = {
    "dataset": {"kind": "iris"},
    "model": {"kind": "mlp", "hidden": (8,)},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "batch_size": 16,
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """The thread count is part of a run's identity; a test leaves torch as it found it."""
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.fixture
def experiment() -> Make:
    """A small experiment with what the test changes; 40 steps unless it says otherwise."""

    def make(**changes: Any) -> Experiment:
        length = {} if "epochs" in changes else {"steps": 40}
        return Experiment.model_validate(PLAIN | length | changes)

    return make
