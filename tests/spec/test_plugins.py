"""Operators' own components: an installed package adds to a family's union, and a wrong one stops the process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SPEC = '''
from typing import Literal
from service.spec.models.base import Model_
from service.spec.models.leaf import affine

class Doubled(Model_):
    """Twice an affine map."""
    target = "ours.torchs:Doubled"
    ranks = (1,)
    kind: Literal["doubled"] = "doubled"
    times: float = 2.0

    def leaves(self, shape, outputs):
        yield affine("map", shape[0], outputs, True, 0)
'''
LOSS = '''
from typing import Literal
from service.spec.losses import Loss_

class Cubed(Loss_):
    """Mean cubed error."""
    target = "ours.torchs:Cubed"
    left_out = {}
    tasks = ("regression",)
    kind: Literal["cubed"] = "cubed"
'''
TORCHS = """
from torch import nn

class Doubled(nn.Module):
    def __init__(self, shape, outputs, times=2.0):
        super().__init__()
        self.map, self.times = nn.Linear(shape[0], outputs), times

    def forward(self, x):
        return self.times * self.map(x)

class Cubed(nn.Module):
    def forward(self, given, wanted):
        return (given - wanted).abs().pow(3).mean()
"""
USE = """
import sys, torch
from service.spec.checks import problems
from service.spec.document import validate
from service.spec.experiment import Experiment
assert "ours.torchs" not in sys.modules
spec = validate(Experiment, {
    "dataset": {"kind": "diabetes"}, "model": {"kind": "doubled", "times": 3.0}, "loss": {"kind": "cubed"},
    "optimizer": {"kind": "sgd", "lr": 1e-4}, "steps": 5,
})
assert problems(spec) == [] and spec.parameters == 11
from worker.loop import prepare, train
print([step.step for step in train(prepare(spec, 0, torch.device("cpu")))])
"""


def installed(folder: Path, *points: str) -> Path:
    """A distribution with these entry points, as a package manager would leave it."""
    package, facts = folder / "ours", folder / "ours-1.0.dist-info"
    package.mkdir()
    facts.mkdir()
    for name, text in (("__init__", ""), ("models", SPEC), ("losses", LOSS), ("torchs", TORCHS)):
        (package / f"{name}.py").write_text(text)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("\n".join(["[saddle.components]", *points, ""]))
    return folder


def run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{Path.cwd()}"}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_a_plug_ins_components_are_posted_checked_and_trained_like_any_other(tmp_path: Path) -> None:
    folder = installed(tmp_path, "model.doubled = ours.models:Doubled", "loss.cubed = ours.losses:Cubed")
    done = run(folder, USE)
    assert done.stdout.strip() == "[1, 2, 3, 4, 5]", done.stderr


def test_without_it_the_kind_is_unknown(tmp_path: Path) -> None:
    done = run(installed(tmp_path), USE)
    assert "Invalid" in done.stderr


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ("loss.doubled = ours.models:Doubled", "loss.doubled is not a class derived from Loss_"),
        ("model.other = ours.models:Doubled", "the kind of model.other is 'doubled', and must be 'other'"),
        ("model.mlp = service.spec.models.feedforward:MLP", "there is already a model.mlp"),
        ("model.gone = ours.models:Gone", "Gone"),
    ],
)
def test_a_wrong_plug_in_stops_the_process_and_is_named(point: str, words: str, tmp_path: Path) -> None:
    done = run(installed(tmp_path, point), "import service.spec.experiment")
    assert done.returncode == 1
    assert words in done.stderr
