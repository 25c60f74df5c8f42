"""What every test of the computing side shares."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.spec.experiment import Experiment
from tests.harness import troubled_model

Make = Callable[..., Experiment]
PLAIN: dict[str, Any] = {
    "dataset": {"kind": "iris"},
    "model": {"kind": "mlp", "hidden": (8,)},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "batch_size": 16,
    "probes": (),  # tests of those who watch choose their own
}


@pytest.fixture
def experiment() -> Make:
    """A small experiment with what the test changes; 40 steps unless it says otherwise."""

    def make(**changes: Any) -> Experiment:
        length = {} if "epochs" in changes else {"steps": 40}
        return Experiment.model_validate(PLAIN | length | changes)

    return make


@pytest.fixture(scope="session")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plug-in as a package manager would leave it: a model that gets into the trouble its spec asks for."""
    return troubled_model.install(tmp_path_factory.mktemp("plug-in"))
