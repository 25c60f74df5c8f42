"""Operators' own components: an installed package adds to a family's union, and a wrong one stops the process."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from service.errors import Problem
from service.spec import plugins
from service.spec.catalog import BASES, CATALOG
from service.spec.component import Component
from service.spec.datasets import base as datasets
from service.spec.datasets.base import DatasetBase
from service.spec.experiment import Experiment
from service.spec.inits import Init_, InitBase
from service.spec.losses import Loss_, LossBase
from service.spec.losses.regression import MAE
from service.spec.models.base import Model_, ModelBase
from service.spec.models.feedforward import MLP
from service.spec.models.leaf import Leaf
from service.spec.optimizers.base import Optimizer_, OptimizerBase
from service.spec.parse.document import validate
from service.spec.plugin_checks import find_faults
from service.spec.plugins import FAMILIES
from service.spec.probes.inline import GradientNorms
from service.spec.requirements import requirements
from service.spec.schedules.base import Schedule_, ScheduleBase
from worker.trainer.environment import environment

TRAINED = {
    **{"dataset": {"kind": "diabetes"}, "model": {"kind": "mlp"}, "loss": {"kind": "mse"}},
    **{"optimizer": {"kind": "sgd"}, "steps": 5},
}

SPEC = '''
from typing import Literal
from service.spec.models.base import ModelBase
from service.spec.models.leaf import affine

class Doubled(ModelBase):
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
from service.spec.losses import LossBase

class Cubed(LossBase):
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
from service.spec.checks.experiment import find_problems
from service.spec.parse.document import validate
from service.spec.experiment import Experiment
assert "ours.torchs" not in sys.modules
spec = validate(Experiment, {
    "dataset": {"kind": "diabetes"}, "model": {"kind": "doubled", "times": 3.0}, "loss": {"kind": "cubed"},
    "optimizer": {"kind": "sgd", "lr": 1e-4}, "steps": 5,
})
assert find_problems(spec) == [] and spec.parameters == 11
from worker.trainer.loop import prepare, train
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
        ("loss.doubled = ours.models:Doubled", "loss.doubled is not a class derived from LossBase"),
        ("model.other = ours.models:Doubled", 'model.other must have the field kind: Literal["other"] = "other"'),
        ("model.mlp = service.spec.models.feedforward:MLP", "model.mlp is already there: choose another kind"),
        ("model.gone = ours.models:Gone", "model.gone cannot be loaded from ours.models:Gone: AttributeError"),
        ("modle.doubled = ours.models:Doubled", "modle.doubled must be named family.kind, with a family of dataset, "),
    ],
)
def test_a_wrong_plug_in_stops_the_process_and_is_named(point: str, words: str, tmp_path: Path) -> None:
    done = run(installed(tmp_path, point), "import service.spec.experiment")
    assert done.returncode == 1
    assert "the plug-in ours 1.0 is broken: " in done.stderr.splitlines()[-1]
    assert words in done.stderr.splitlines()[-1]


class Whole(ModelBase):
    """Nothing is wrong with it."""

    target = "ours.torchs:Doubled"
    ranks = (1,)
    kind: Literal["whole"] = "whole"

    def leaves(self, shape: tuple[int, ...], outputs: int) -> Iterator[Leaf]:
        yield from ()


class Leafless(ModelBase):
    target = "ours.torchs:Doubled"
    ranks = (1,)
    kind: Literal["leafless"] = "leafless"


class Narrow(Whole):
    kind: Literal["narrow"] = "narrow"  # type: ignore[assignment]

    def leaves(self, shape: tuple[int, ...]) -> Iterator[Leaf]:  # type: ignore[override]
        yield from ()


class Ranked(Whole):
    ranks = 1  # type: ignore[assignment]
    kind: Literal["ranked"] = "ranked"  # type: ignore[assignment]


class Aimless(Whole):
    target = "ours.torchs.Doubled"
    kind: Literal["aimless"] = "aimless"  # type: ignore[assignment]


class Wordy(Whole):
    kind: str = "wordy"  # type: ignore[assignment]


class Opaque(Whole):
    kind: Literal["opaque"] = "opaque"  # type: ignore[assignment]
    call: Callable[[int], int] = abs


class Taskless(LossBase):
    target = "ours.torchs:Cubed"
    kind: Literal["taskless"] = "taskless"


class Still(ScheduleBase):
    target = "ours.torchs:Still"
    kind: Literal["still"] = "still"


class Rated(ScheduleBase):
    """`scale` may be missing where `rate` is there."""

    target = "ours.torchs:Rated"
    kind: Literal["rated"] = "rated"

    def rate(self, base: float, s: int, total: int) -> float:
        return base


class Shouting(Rated):
    kind: Literal["shouting"] = "shouting"  # type: ignore[assignment]

    def pure(self) -> bool:  # type: ignore[override]
        return True


class Dated(OptimizerBase):
    target = "ours.torchs:optimizer"
    full_batch_reason = "it compares successive gradients"
    kind: Literal["dated"] = "dated"
    keeps: int = 3  # a field may have any name

    def oddities(self) -> Iterator[Problem]:
        yield Problem("/lr", "may_diverge", "is large.")


class Factless(DatasetBase):
    target = "ours.torchs:rows"
    kind: Literal["factless"] = "factless"


@pytest.mark.parametrize(
    ("added", "base", "words"),
    [
        (Whole, ModelBase, None),
        (Rated, ScheduleBase, None),
        (Leafless, ModelBase, "lacks the method leaves(self, shape: tuple[int, ...], outputs: int)"),
        (Narrow, ModelBase, "and has leaves(self, shape: tuple[int, ...])"),
        (Ranked, ModelBase, "has ranks = 1, which must be tuple[int, ...]"),
        (Aimless, ModelBase, "has target = 'ours.torchs.Doubled', which must be \"module:name\""),
        (Wordy, ModelBase, 'must have the field kind: Literal["wordy"] = "wordy"'),
        (Opaque, ModelBase, "has a field that has no JSON Schema: "),
        (Taskless, LossBase, "lacks the class attribute tasks: "),
        (Still, ScheduleBase, "lacks the method scale(self, s: int, total: int)"),
        (Shouting, ScheduleBase, "must have pure as a property, and has a method"),
        (Dated, OptimizerBase, "has oddities, which is called warnings since 0.2: rename it"),
        (Factless, DatasetBase, "lacks the class attribute known: "),
    ],
)
def test_what_a_class_lacks_is_found_before_it_is_used(
    added: type[Component], base: type[Component], words: str | None
) -> None:
    found = list(find_faults(added, base, added.model_fields["kind"].default))
    assert len(found) == (words is not None)
    assert words is None or words in found[0]


def test_a_plug_in_written_for_0_1_still_finds_its_base_by_the_old_name() -> None:
    old = (datasets.Dataset_, datasets.Table_, datasets.Regression_, Model_, Loss_, Optimizer_, Schedule_, Init_)
    assert [each.__name__ for each in old] == [
        *("DatasetBase", "TableBase", "RegressionBase", "ModelBase"),
        *("LossBase", "OptimizerBase", "ScheduleBase", "InitBase"),
    ]


@pytest.mark.parametrize("base", [DatasetBase, ModelBase, LossBase, OptimizerBase, ScheduleBase, InitBase])
def test_every_renamed_member_exists_by_its_new_name_only(base: type[Component]) -> None:
    assert base.renamed
    assert [new for new in base.renamed.values() if new not in dir(base) and new not in base.__annotations__] == []
    assert [old for old in base.renamed if old in dir(base)] == []


def test_plug_ins_can_add_to_every_family_of_the_catalogue() -> None:
    assert tuple(BASES) == FAMILIES
    closed = {"dimensions", "samplers", "pruners"}  # of studies: the API runs them, and no plug-in's code is run there
    assert [name for name, _ in BASES.values()] == [name for name in CATALOG if name not in closed]


@pytest.mark.parametrize("family", FAMILIES)
def test_our_own_members_have_what_a_plug_in_must_have(family: str) -> None:
    name, base = BASES[family]
    members = {kind: each for kind, each in CATALOG[name].items() if kind != "default" and issubclass(each, base)}
    found = {kind: list(find_faults(each, base, kind)) for kind, each in members.items()}
    assert found
    assert {kind: wrong for kind, wrong in found.items() if wrong} == {}


IDENTITY = """
from service.spec.parse.document import validate
from service.spec.experiment import Experiment
from service.spec.requirements import requirements
base = {"dataset": {"kind": "diabetes"}, "loss": {"kind": "mse"}, "optimizer": {"kind": "sgd"}, "steps": 5}
for kind in ("doubled", "mlp"):
    spec = validate(Experiment, base | {"model": {"kind": kind}})
    print(requirements(spec), spec.hash, spec.hash_without_plugins)
"""


def test_the_version_of_a_plug_in_is_in_the_needs_and_the_hash_of_a_spec_that_uses_it(tmp_path: Path) -> None:
    folder = installed(tmp_path, "model.doubled = ours.models:Doubled")
    before = run(folder, IDENTITY).stdout.splitlines()
    facts = folder / "ours-1.0.dist-info" / "METADATA"
    facts.write_text(facts.read_text().replace("1.0", "1.1"))
    after = run(folder, IDENTITY).stdout.splitlines()
    assert before[0].startswith("{'ours==1.0': '/model/kind'}")
    assert after[0].startswith("{'ours==1.1': '/model/kind'}")
    (one, unpinned), (other, same) = (lines[0].split()[-2:] for lines in (before, after))
    assert len({one, other, unpinned}) == 3
    assert unpinned == same
    assert before[1] == after[1], "a spec without it is the same whatever is installed"
    assert len(set(before[1].split()[-2:])) == 1


CODE = """
import torch
from service.spec.experiment import Experiment
from service.spec.parse.document import validate
from worker.trainer.environment import environment, environment_differences

parts = {"dataset": {"kind": "diabetes"}, "loss": {"kind": "mse"}, "optimizer": {"kind": "sgd"}, "steps": 5}
used, plain = (environment(torch.device("cpu"), 1, validate(Experiment, parts | {"model": {"kind": kind}}))
               for kind in ("doubled", "mlp"))
print(used["code"].get("ours"), plain["code"], list(environment_differences(used | {"code": {"ours": "0"}}, used)))
"""


def test_a_plug_in_installed_again_in_the_same_version_is_another_environment(tmp_path: Path) -> None:
    folder = installed(tmp_path, "model.doubled = ours.models:Doubled")
    (before, none, differs), again = (run(folder, CODE).stdout.split() for _ in range(2))
    assert (len(before), none, differs) == (64, "{}", "['code']")
    assert again[0] == before  # files that Python wrote do not count
    (folder / "ours" / "torchs.py").write_text(TORCHS.replace("self.times * self.map(x)", "self.map(x)"))
    assert run(folder, CODE).stdout.split()[0] not in ("None", before)


@pytest.mark.parametrize("kind", ["mlp", "linear"])
def test_an_attempt_names_the_plug_ins_that_its_spec_uses(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugins.PACKAGES, MLP, plugins.PluginPackage("ours", "1.0"))
    spec = validate(Experiment, TRAINED | {"model": {"kind": kind}})
    packages = environment(torch.device("cpu"), 1, spec)["packages"]
    assert packages.get("ours") == {"mlp": "1.0", "linear": None}[kind]


@pytest.mark.parametrize(
    ("changes", "hashed"), [({"loss": {"kind": "mae"}}, True), ({"probes": [{"kind": "gradients"}]}, False)]
)
def test_what_only_observes_leaves_the_hash_alone(
    changes: dict[str, Any], hashed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in (MAE, GradientNorms):
        monkeypatch.setitem(plugins.PACKAGES, kind, plugins.PluginPackage("ours", "1.0"))
    spec = validate(Experiment, TRAINED | {"probes": []} | changes)
    assert list(requirements(spec)) == ["ours==1.0"]
    assert (spec.hash != spec.hash_without_plugins) == hashed
