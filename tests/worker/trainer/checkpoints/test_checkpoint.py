"""A resumed run equals an uninterrupted one bit for bit; a checkpoint that is not what was written is refused."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from service.errors import RunFailure
from service.spec import plugins
from service.spec.models.feedforward import MLP
from worker.trainer.checkpoints import checkpoint, optimizer_state
from worker.trainer.loop import Training, prepare, train

CPU = torch.device("cpu")
NOISY = {"kind": "mlp", "hidden": (8,), "norm": "batch", "dropout": 0.3}
OPTIMIZERS: list[dict[str, Any]] = [
    {"kind": "sgd"},
    {"kind": "sgd", "momentum": 0.9, "nesterov": True},
    {"kind": "adam", "amsgrad": True},
    {"kind": "adamw"},
    {"kind": "rmsprop", "momentum": 0.9, "centered": True},
    {"kind": "adagrad", "lr_decay": 0.01, "initial_accumulator_value": 0.1},
]
FURTHER: dict[str, dict[str, Any]] = {  # what an experiment has beside NOISY
    **{
        kind: {"optimizer": {"kind": kind}}
        for kind in ("adamax", "nadam", "radam", "adadelta", "rprop", "asgd", "adafactor", "adabound")
    },
    "lbfgs": {"optimizer": {"kind": "lbfgs", "lr": 0.1}},  # by steps of 1 it diverges on some processors
    "lbfgs with a line search": {"optimizer": {"kind": "lbfgs", "line_search_fn": "strong_wolfe", "history_size": 3}},
    "amsbound": {"optimizer": {"kind": "adabound", "amsbound": True}},
    "lecture_adagrad": {"optimizer": {"kind": "lecture_adagrad"}},
    "lecture_rmsprop": {"optimizer": {"kind": "lecture_rmsprop"}},
    "schedule_free_sgd": {"optimizer": {"kind": "schedule_free_sgd", "lr": 0.1}},
    "schedule_free_adamw": {"optimizer": {"kind": "schedule_free_adamw"}},
    "muon and adamw": {
        "optimizer": {"kind": "adamw"},
        "groups": ({"match": {"dim": 2}, "optimizer": {"kind": "muon"}},),
    },
    "groups": {
        "optimizer": {"kind": "sgd", "momentum": 0.9, "weight_decay": 0.01},
        "groups": ({"match": {"name": "layers.0.*"}, "lr": 0.01}, {"match": {"module": "BatchNorm1d"}, "freeze": True}),
        "no_decay": True,
        "layer_decay": 0.7,
    },
}
SCHEDULES: list[dict[str, Any]] = [
    {"kind": "constant"},
    {"kind": "step", "step_size": 7},
    {"kind": "multistep", "milestones": (9, 20)},
    {"kind": "exponential", "gamma": 0.95},
    {"kind": "cosine"},
    {"kind": "warmup", "steps": 9, "after": {"kind": "cosine"}},
    {"kind": "one_cycle", "cycle_momentum": True},
    {"kind": "warmup", "steps": 9, "after": {"kind": "plateau", "patience": 0, "threshold": 0.5, "factor": 0.5}},
]


def trace(training: Training, until: int | None = None) -> list[tuple[Any, ...]]:
    """Everything that is recorded, exactly."""
    seen: list[tuple[Any, ...]] = []
    for step in train(training):
        readings = {name: float(value) for name, value in (step.metrics or {}).items()}
        seen.append((step.step, step.lr, step.loss.item(), readings))
        if step.step == until:
            break
    return seen


def weights(training: Training) -> list[torch.Tensor]:
    return [value.clone() for value in training.model.state_dict().values()]


def disturb() -> None:
    """Leave torch's generator somewhere else, as another run in the same process would."""
    torch.manual_seed(random.Random(0).randrange(10**6))
    torch.rand(17)


def same_curve_with_cuts(spec: Any, cuts: list[int], folder: Path) -> None:
    whole = prepare(spec, 11, CPU)
    expected, training, seen = trace(whole), prepare(spec, 11, CPU), []
    for cut in cuts:
        seen += trace(training, cut)
        saved = checkpoint.save(folder, training, {})
        disturb()
        training = prepare(spec, 11, CPU)
        checkpoint.load(saved.folder, saved.sha256, training)
        assert training.step == cut
    seen += trace(training)
    assert seen == expected
    assert all(torch.equal(a, b) for a, b in zip(weights(training), weights(whole), strict=True))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s["kind"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: "-".join(map(str, o.values())))
def test_a_resumed_run_equals_an_uninterrupted_one(
    optimizer: dict[str, Any], schedule: dict[str, Any], experiment: Any, tmp_path: Path
) -> None:
    spec = experiment(model=NOISY, optimizer=optimizer, schedule=schedule, clip={"norm": 1.0}, steps=30)
    draw = random.Random(str((optimizer, schedule)))
    same_curve_with_cuts(spec, sorted(draw.sample(range(1, 30), draw.randint(1, 3))), tmp_path)


@pytest.mark.parametrize("name", FURTHER)
def test_every_optimizer_and_several_resume(name: str, experiment: Any, tmp_path: Path) -> None:
    schedule = {"kind": "one_cycle", "max_lr": 0.01} if name == "groups" else {"kind": "cosine"}
    spec = experiment(model=NOISY, schedule=schedule, clip={"norm": 1.0}, steps=30, **FURTHER[name])
    same_curve_with_cuts(spec, [1, 8, 22], tmp_path)


@pytest.mark.parametrize("cut", [1, 45, 46, 90])
def test_a_convolutional_run_resumes_at_the_edge_of_an_epoch_too(cut: int, experiment: Any, tmp_path: Path) -> None:
    spec = experiment(
        dataset={"kind": "digits"},
        model={"kind": "cnn", "channels": (4,), "norm": "batch", "dropout": 0.2},
        optimizer={"kind": "adamw"},
        batch_size=32,  # 1,438 rows: 45 updates an epoch
        steps=92,
        schedule={"kind": "cosine", "T_max": 3},
        schedule_unit="epoch",
    )
    same_curve_with_cuts(spec, [cut], tmp_path)


def test_leaving_a_part_out_is_noticed(experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison has teeth: without the random state, or the optimizer's, the curves differ."""
    spec = experiment(model=NOISY, optimizer={"kind": "adamw"})
    together = optimizer_state.unflatten_state
    without = {
        "checkpoint.set_random_states": lambda *states: None,
        "optimizer_state.unflatten_state": lambda document, part, tensors: (
            together(document, part, tensors) | {"state": {}}
        ),
    }
    for name, replacement in without.items():
        with monkeypatch.context() as patch:
            patch.setattr(f"worker.trainer.checkpoints.{name}", replacement)
            with pytest.raises(AssertionError):
                same_curve_with_cuts(spec, [13], tmp_path)


@pytest.fixture
def saved(experiment: Any, tmp_path: Path) -> tuple[checkpoint.Saved, Training]:
    training = prepare(experiment(optimizer={"kind": "adamw"}), 0, CPU)
    trace(training, 5)
    return checkpoint.save(tmp_path / "run", training, {"environment": {"torch": "x"}}), training


def test_a_checkpoint_is_two_files_and_says_what_it_is(saved: Any) -> None:
    (folder, sha256, size), training = saved
    assert folder.name == "step-5"
    assert sorted(path.name for path in folder.iterdir()) == ["state.json", "tensors.safetensors"]
    assert size == sum(path.stat().st_size for path in folder.iterdir())
    assert len(sha256) == 64
    document = json.loads((folder / "state.json").read_text())
    assert (document["step"], document["seed"], document["spec_hash"]) == (5, 0, training.spec.hash)
    assert document["environment"] == {"torch": "x"}
    assert [path.name for path in folder.parent.iterdir()] == ["step-5"]  # nothing half-written beside it


@pytest.mark.parametrize("name", ["state.json", "tensors.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "changed", "longer"])
def test_a_damaged_checkpoint_is_refused_and_changes_nothing(name: str, damage: str, saved: Any) -> None:
    (folder, sha256, _), training = saved
    path, content = folder / name, (folder / name).read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        middle = len(content) // 2
        flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"truncated": content[:-1], "changed": flipped, "longer": content + b" "}[damage])
    fresh = prepare(training.spec, 0, CPU)
    before = weights(fresh)
    with pytest.raises(RunFailure, match="step-5") as caught:
        checkpoint.load(folder, sha256, fresh)
    assert caught.value.kind == "checkpoint_damaged"
    assert fresh.step == 0
    assert all(torch.equal(a, b) for a, b in zip(weights(fresh), before, strict=True))


def test_a_missing_folder_is_a_damaged_checkpoint(saved: Any, tmp_path: Path) -> None:
    with pytest.raises(RunFailure, match="cannot be read") as caught:
        checkpoint.load(tmp_path / "nowhere", saved[0].sha256, saved[1])
    assert caught.value.kind == "checkpoint_damaged"


def test_a_checkpoint_of_another_spec_or_seed_is_refused(saved: Any, experiment: Any) -> None:
    (folder, sha256, _), training = saved
    for other in (prepare(training.spec, 1, CPU), prepare(experiment(optimizer={"kind": "adam"}), 0, CPU)):
        with pytest.raises(RunFailure, match="another spec or seed"):
            checkpoint.load(folder, sha256, other)


def test_a_checkpoint_belongs_to_the_versions_of_its_plug_ins(
    saved: Any, experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One from before plug-ins were part of the hash is still taken."""
    of_before, training = saved
    spec = training.spec
    monkeypatch.setitem(plugins.PACKAGES, MLP, plugins.PluginPackage("ours", "1.0"))
    checkpoint.load(of_before.folder, of_before.sha256, prepare(spec, training.seed, CPU))
    of_1_0 = checkpoint.save(tmp_path / "1.0", training, {})
    checkpoint.load(of_1_0.folder, of_1_0.sha256, prepare(spec, training.seed, CPU))
    monkeypatch.setitem(plugins.PACKAGES, MLP, plugins.PluginPackage("ours", "1.1"))
    with pytest.raises(RunFailure, match="another spec or seed"):
        checkpoint.load(of_1_0.folder, of_1_0.sha256, prepare(spec, training.seed, CPU))


def test_an_existing_checkpoint_is_never_replaced(saved: Any) -> None:
    (folder, sha256, _), training = saved
    second = checkpoint.save(folder.parent, training, {"environment": {"torch": "x"}})
    assert second.folder.name == "step-5-2"
    assert second.sha256 == sha256  # the same state is the same bytes
    checkpoint.load(folder, sha256, training)


def test_a_failed_write_leaves_nothing(saved: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    (folder, _, _), training = saved
    trace(training, 6)
    monkeypatch.setattr("worker.trainer.checkpoints.checkpoint.sync_to_disk", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(folder.parent, training, {})
    assert [path.name for path in folder.parent.iterdir()] == ["step-5"]
