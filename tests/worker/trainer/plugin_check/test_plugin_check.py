"""`python -m worker.trainer.plugin_check`: what is wrong with a component is named, and what is right is trained."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.spec.plugins import GROUP
from tests.worker.trainer.plugin_check import broken_components

Found = dict[str, dict[str, str | None]]
FAULTS = {
    "model.noforward": "names ours.modules:NoForward, which lacks the method forward",
    "model.nomodule": "names ours.modules:NoModule, which is no torch Module: derive it from that",
    "model.onetoomany": "returns shape [16, 4] for rows of shape [16, 4]: needed is [16, 3]",
    "model.pair": "returns tuple for rows of shape [16, 4]: needed is [16, 3]",
    "model.lazy": "creates layer.weight lazily, at the first batch, when the optimizer has its parameters already",
    "model.late": "creates scale in its first forward pass, when the optimizer has its parameters already",
    "model.counting": "differs after a resume (step 4): Counting.calls changed while it trained",
    "model.forgetful": "differs after a resume (step 4): Forgetful.calls changed",
    "model.owngenerator": "differs after a resume (step 4): OwnGenerator.generator changed",
    "model.pythonrandom": "draws from Python's random, which no seed sets and no checkpoint holds: draw with torch",
    "model.numpyrandom": "draws from numpy.random, which no seed sets",
    "model.unseeded": "trains otherwise when started again with the same seed (step 1)",
    "model.raising": "fails with ArithmeticError: two rows are needed (modules.py, line ",
    "model.notanumber": "has the loss nan at step 1",
    "model.gone": "names ours.modules:Gone, which cannot be loaded: AttributeError",
    "model.misdescribed": "has leaves() that do not describe what is built, in torch's order: ('first.weight', (3, 4))",
    "model.unfillable": "has the field times without a default: give a value in the class attribute example",
    "model.sequences": "fits no spec that was tried (/model: rows of shape [4] have 1 dimensions; needed: 4.)",
    "model.tunable": "names ours.modules:Right, which does not take the row's shape and the number of outputs, then",
    "loss.rowwise": "has a loss of shape [16, 1]: needed is a scalar, the mean over the batch",
    "loss.running": "changes mean in evaluation mode, in which probes call it too: change it if self.training",
    "loss.learning": "has the parameter scale, which no optimizer trains: keep what does not learn in a buffer",
    "loss.counting": "differs after a resume (step 4): Counting.calls changed while it trained",
    "optimizer.stepless": "names ours.updates:Stepless, which lacks the method step",
    "optimizer.counter": "Counter.steps changed while it trained, and no checkpoint holds it; keep it in self.state",
    "schedule.whimsical": "gives another rate when asked again: the rate must depend on s and total only",
    "schedule.negative": "gives the rate -1.0 at update 2: needed is a number from 0",
    "dataset.drawn": "gives other rows when it is read again: draw them from a generator with a fixed seed",
    "dataset.short": "contradicts itself: ours.rows:short returned rows of shape (39, 4), which its facts contradict",
    "dataset.listed": "names ours.rows:listed, which must return two numpy arrays: the rows and their targets",
    "augmentation.floating": "makes torch.float32 of shape [8, 3, 16, 16] of images: needed are bytes of shape [8, 3, ",
    "augmentation.wavering": "makes other images of the same seed and step: draw from torch's default generator only",
    "metric.computeless": "names ours.measures:Computeless, which lacks the method compute",
    "metric.many": "fails with ValueError: the metric many: compute() returns 2 values for its 1 names",
    "metric.wordy": "fails with ValueError: the metric wordy: compute() returns str: needed is a number or a tensor",
    "metric.greedy": "fails with ValueError: the metric greedy: update() changes its outputs or targets in place",
    "preparation.changeless": "names ours.columns:Changeless, which lacks the method change",
    "probe.meddling": "changes the training (step 2): a probe must only read",
    "probe.failing": "fails at step 1: ValueError: no such thing",
    "probe.unmeasured": "names ours.instruments:Unmeasured, which lacks the method measure(self, training)",
}
RIGHT = {
    *("model.right", "model.counted", "model.torchrandom", "model.filled"),
    "loss.steady",
    *("optimizer.stateful", "schedule.halving", "dataset.fixed", "probe.largest", "metric.share", "metric.plain"),
    "preparation.clipped",
}


def check(*arguments: object, installed: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The check; a folder `installed` lies on Python's path."""
    command = [sys.executable, "-m", "worker.trainer.plugin_check", *map(str, arguments)]
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), installed and str(installed)]))
    environment = os.environ | {"PYTHONPATH": path}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("ours")
    broken_components.write(folder)
    done = check(folder, "--json")
    assert done.returncode == 1, done.stderr
    components: Found = json.loads(done.stdout)["components"]
    return components


def test_every_component_is_judged(found: Found) -> None:
    assert set(found) == set(FAULTS) | RIGHT | {"augmentation.inverted"}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named(name: str, found: Found) -> None:
    assert FAULTS[name] in str(found[name]["fault"])
    assert "\n" not in str(found[name]["fault"])


def test_what_is_right_augments(found: Found) -> None:
    told = {"fault": None, "trained": "8 images of shape [3, 16, 16], augmented alike again"}
    assert found["augmentation.inverted"] == told


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_what_is_right_is_trained(name: str, found: Found) -> None:
    assert found[name]["fault"] is None
    assert "6 steps, cut and resumed bit for bit" in str(found[name]["trained"])


def test_components_are_trained_on_a_file_of_the_teams(tmp_path: Path) -> None:
    broken_components.write(tmp_path / "ours", only=("model.right", "loss.rowwise", "dataset.fixed"))
    rows = [f"{at},{at * at % 7},{at % 3}.5" for at in range(40)]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,price", *rows]))
    done = check(tmp_path / "ours", "--json", "--data", tmp_path / "rows.csv", "--predict", "price")
    components = json.loads(done.stdout)["components"]
    assert components["model.right"]["trained"].startswith("right on price, 6 steps")
    assert components["loss.rowwise"]["fault"].startswith("has a loss of shape [16, 1]")
    assert components["dataset.fixed"]["trained"]
    done = check(tmp_path / "ours", "--data", tmp_path / "nothing.csv")
    assert (done.returncode, "nothing.csv" in done.stderr) == (2, True)


def test_an_installed_package_is_checked_by_its_name_and_by_its_folder(tmp_path: Path) -> None:
    broken_components.write(tmp_path, only=("model.right",))
    facts = tmp_path / "ours-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text(f"[{GROUP}]\nmodel.right = ours.models:Right\n")
    for target in ("ours", tmp_path):
        done = check(target, "--json", installed=tmp_path)
        assert json.loads(done.stdout)["components"]["model.right"]["fault"] is None, done.stderr
        assert done.returncode == 0


def test_faults_of_declarations_are_all_told_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "ours.py").write_text(
        "from typing import Literal\n"
        "from service.spec.models.base import ModelBase\n"
        "class Leafless(ModelBase):\n"
        "    target = 'ours:Leafless'\n"
        "    ranks = (1,)\n"
        "    kind: Literal['mlp'] = 'mlp'\n"
    )
    points = {"model.mlp": "ours:Leafless", "model.gone": "ours:Gone", "modle.x": "ours:Leafless", "loss": "ours:L"}
    lines = "\n".join(f'"{name}" = "{value}"' for name, value in points.items())
    (tmp_path / "pyproject.toml").write_text(
        f'[project]\nname = "ours"\n[project.entry-points."saddle.components"]\n{lines}\n'
    )
    done = check(tmp_path)
    assert done.returncode == 1
    told = done.stdout.splitlines()
    assert told[0] == "ours 0"
    assert told[1].startswith("  FAULT  loss must be named family.kind, with a family of dataset, model, ")
    assert told[2].startswith("  FAULT  model.gone cannot be loaded from ours:Gone: AttributeError")
    assert told[3].startswith("  FAULT  model.mlp lacks the method leaves(self, shape: tuple[int, ...], outputs: int)")
    assert told[3].endswith("; is already there: choose another kind.")
    assert told[4].startswith("  FAULT  modle.x must be named family.kind")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "has no pyproject.toml: give the folder of a package"),
        ("[project", "is not TOML"),
        ("[tool.x]\ny = 1", "has no [project] with a name"),
        (
            '[project]\nname = "ours"',
            'ours offers no component: its pyproject.toml needs [project.entry-points."saddle.',
        ),
    ],
)
def test_a_folder_without_components_is_told(text: str | None, words: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "pyproject.toml").write_text(text)
    done = check(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_a_name_that_is_not_installed_is_told() -> None:
    done = check("no-such-package")
    assert done.returncode == 2
    assert done.stderr == "saddle: there is neither a folder nor an installed package 'no-such-package'\n"
    assert "the package numpy offers no component" in check("numpy").stderr
