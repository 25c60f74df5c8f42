"""What every test of the computing side shares."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.spec.experiment import Experiment

Make = Callable[..., Experiment]
PLAIN: dict[str, Any] = {
    "dataset": {"kind": "iris"},
    "model": {"kind": "mlp", "hidden": (8,)},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "batch_size": 16,
    "probes": (),  # tests of those who watch choose their own
}


TROUBLED = '''
from typing import Literal
from service.spec.models.base import ModelBase
from service.spec.models.leaf import affine

class Troubled(ModelBase):
    """An affine map that gets into trouble at call `at` of its training."""
    target = "troubled.model:Troubled"
    ranks = (1,)
    kind: Literal["troubled"] = "troubled"
    trouble: str = "none"
    at: int = 3
    seconds: float = 0.0

    def leaves(self, shape, outputs):
        yield affine("map", shape[0], outputs, True, 0)
'''
MODEL = """
import ctypes, os, time
import torch
from torch import nn

def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass

class Troubled(nn.Module):
    nans = 0  # in this process

    def __init__(self, shape, outputs, trouble="none", at=3, seconds=0.0):
        super().__init__()
        self.map = nn.Linear(shape[0], outputs)
        self.trouble, self.at, self.seconds, self.calls = trouble, at, seconds, 0

    def forward(self, x):
        self.calls += self.training
        if self.trouble == "slow":
            time.sleep(self.seconds)
        elif self.trouble == "long_evaluation" and not self.training:
            spin(self.seconds)
        elif self.calls == self.at:
            self.get_into_it()
        return self.map(x) * (float("nan") if self.trouble == "nan" and self.calls == self.at else 1.0)

    def get_into_it(self):
        if self.trouble == "nan":
            Troubled.nans += 1
            if Troubled.nans > 1:
                os._exit(3)
        elif self.trouble == "segfault":
            ctypes.string_at(0)
        elif self.trouble == "hang":
            time.sleep(3600)
        elif self.trouble == "cuda_oom":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        elif self.trouble == "device":
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        elif self.trouble == "chatter":
            piece = os.urandom(1 << 20)
            for stream in (1, 2) * 64:
                os.write(stream, piece)
            os.write(2, b"\\nthe last words\\n")
            os._exit(3)
"""


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
    folder = tmp_path_factory.mktemp("plug-in")
    package, facts = folder / "troubled", folder / "troubled-1.0.dist-info"
    package.mkdir()
    facts.mkdir()
    for name, text in (("__init__", ""), ("spec", TROUBLED), ("model", MODEL)):
        (package / f"{name}.py").write_text(text)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: troubled\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[saddle.components]\nmodel.troubled = troubled.spec:Troubled\n")
    return folder
