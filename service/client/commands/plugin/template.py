"""The package that `saddle plugin new NAME` writes: a model, a loss and a preparation, with what trains, and tests."""

PYPROJECT = """\
[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "0.1.0"  # part of the identity of every run that uses it: raise it with each change
requires-python = ">=3.11"
dependencies = []  # beyond torch; not saddle, which is in no index: this is installed where saddle is

[project.entry-points."saddle.components"]
"model.{module}_net" = "{module}.models:Net"
"loss.{module}_loss" = "{module}.losses:Loss"
"preparation.{module}_clip" = "{module}.preparation:Clip"

[tool.setuptools]
packages = ["{module}"]

[tool.pytest.ini_options]
pythonpath = ["."]
"""

MODELS = '''\
"""The models as a spec names them. The API reads this file, so it imports no torch."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.spec.models.base import ModelBase
from service.spec.models.leaf import Leaf, affine


class Net(ModelBase):
    """Two layers with a sine between them."""

    target = "{module}.modules:Net"
    ranks = (1,)  # a row has one dimension

    kind: Literal["{module}_net"] = "{module}_net"
    width: Annotated[int, Field(ge=1, le=65_536, description="number of hidden units")] = 32

    def leaves(self, shape: tuple[int, ...], outputs: int) -> Iterator[Leaf]:
        """Yield the layers with parameters, in torch's order; a model that cannot say them returns None."""
        yield affine("hidden", shape[0], self.width, bias=True, depth=0)
        yield affine("out", self.width, outputs, bias=True, depth=1)
'''

LOSSES = '''\
"""The losses as a spec names them. The API reads this file, so it imports no torch."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.losses.base import LossBase


class Loss(LossBase):
    """Cross-entropy that weighs each row by how wrong it is (focal loss)."""

    target = "{module}.modules:Loss"
    paper = "Lin et al. 2017, arXiv:1708.02002"
    tasks = ("classification",)

    kind: Literal["{module}_loss"] = "{module}_loss"
    gamma: Annotated[float, Field(ge=0, le=10, description="0: cross-entropy; larger: easy rows count less")] = 2.0
'''

PREPARATION = '''\
"""The steps of a preparation as a spec names them. The API reads this file, so it imports no torch."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.preparation.base import NumberStepBase


class Clip(NumberStepBase):
    """Values beyond a quantile of the training rows become that quantile."""

    target = "{module}.columns:Clip"

    kind: Literal["{module}_clip"] = "{module}_clip"
    share: Annotated[float, Field(gt=0, lt=0.5, description="share of the rows that is clipped at each end")] = 0.01
'''

COLUMNS = '''\
"""What prepares columns of numbers: fitted on the training rows, NaN where a value is missing."""

import numpy as np


class Clip:
    def __init__(self, share: float = 0.01) -> None:
        self.share = share

    def fit(self, values: np.ndarray) -> dict[str, float]:  # (N,) -> JSON, stored with the run
        low, high = np.nanquantile(values, (self.share, 1 - self.share))
        return {{"low": low, "high": high}}

    def change(self, values: np.ndarray, fitted: dict[str, float]) -> np.ndarray:  # (n,) -> (n,)
        return np.clip(values, fitted["low"], fitted["high"])
'''

MODULES = '''\
"""What trains: torch modules, called with the fields of the spec."""

import torch
from torch import Tensor, nn


class Net(nn.Module):
    """x (B, D) -> (B, outputs)."""

    def __init__(self, shape: tuple[int, ...], outputs: int, width: int = 32) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(shape[0], width), nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(torch.sin(self.hidden(x)))


class Loss(nn.Module):
    """logits (B, K), classes (B,) -> their mean."""

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        logs = logits.log_softmax(1).gather(1, classes.unsqueeze(1))
        return -((1 - logs.exp()).pow(self.gamma) * logs).mean()
'''

TESTS = '''\
"""Run by pytest in the environment that has Saddle's worker."""

import subprocess
import sys
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from {module}.modules import Loss


def test_saddle_can_train_with_it() -> None:
    folder = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "worker.trainer.plugin_check", folder], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_without_gamma_the_loss_is_cross_entropy() -> None:
    logits, classes = torch.randn(8, 3), torch.randint(3, (8,))
    torch.testing.assert_close(Loss(gamma=0.0)(logits, classes), cross_entropy(logits, classes))
'''

SPEC = """\
{{
  "name": "{name}",
  "dataset": {{"kind": "wine", "prepare": [{{"kind": "{module}_clip", "share": 0.02}}]}},
  "model": {{"kind": "{module}_net", "width": 32}},
  "loss": {{"kind": "{module}_loss"}},
  "optimizer": {{"kind": "adamw", "lr": 0.01}},
  "epochs": 20,
  "seeds": [0, 1, 2]
}}
"""

FILES = {
    "pyproject.toml": PYPROJECT,
    "{module}/__init__.py": '"""Own components of Saddle."""\n',
    "{module}/models.py": MODELS,
    "{module}/losses.py": LOSSES,
    "{module}/preparation.py": PREPARATION,
    "{module}/columns.py": COLUMNS,
    "{module}/modules.py": MODULES,
    "tests/test_{module}.py": TESTS,
    "spec.json": SPEC,
}


def render(name: str) -> dict[str, str]:
    """Return the text of each file by its path, for a package of this name."""
    words = {"name": name, "module": name.replace("-", "_")}
    return {path.format(**words): text.format(**words) for path, text in FILES.items()}
