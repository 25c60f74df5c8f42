"""What a fork takes over: unchanged it is its parent's tail bit for bit, changed it says what starts afresh."""

from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from service.errors import RunFailure
from service.spec import optimizers
from worker.trainer.checkpoints import checkpoint
from worker.trainer.loop import Training, prepare, train

CPU = torch.device("cpu")
NOISY = {"kind": "mlp", "hidden": (8,), "norm": "batch", "dropout": 0.3}
AT, STEPS = 13, 30
KINDS: dict[str, dict[str, Any]] = {
    **{kind: {"kind": kind} for kind in ("sgd", "adamw", "adam", "nadam", "rprop", "asgd", "adafactor", "adabound")},
    "momentum": {"kind": "sgd", "momentum": 0.9, "nesterov": True},
    "rmsprop": {"kind": "rmsprop", "momentum": 0.9, "centered": True},
    "lbfgs": {"kind": "lbfgs", "lr": 0.1, "history_size": 3},
    "schedule_free": {"kind": "schedule_free_adamw"},
    "prodigy": {"kind": "pytorch_optimizer", "name": "prodigy", "lr": 1.0},
    "lion": {"kind": "pytorch_optimizer", "name": "lion"},
}
Curve = list[tuple[int, float, float]]


def curve(training: Training, until: int | None = None) -> Curve:
    seen: Curve = []
    for step in train(training):
        seen.append((step.step, step.lr, step.loss.item()))
        if step.step == until:
            break
    return seen


def parent(spec: Any, folder: Path, seed: int = 11) -> tuple[checkpoint.Saved, Curve]:
    """A checkpoint at `AT`, and the whole curve."""
    training = prepare(spec, seed, CPU)
    first = curve(training, AT)
    saved = checkpoint.save(folder, training, {})
    return saved, first + curve(training)


def forked(spec: Any, saved: checkpoint.Saved, seed: int = 11) -> tuple[Training, dict[str, Any]]:
    torch.manual_seed(99)
    training = prepare(spec, seed, CPU)
    _, taken = checkpoint.load_fork(saved.folder, saved.sha256, training)
    return training, taken


@pytest.mark.parametrize("kind", KINDS)
def test_a_fork_without_changes_is_its_parents_tail(kind: str, experiment: Any, tmp_path: Path) -> None:
    spec = experiment(model=NOISY, optimizer=KINDS[kind], schedule={"kind": "cosine"}, clip={"norm": 1.0}, steps=STEPS)
    saved, whole = parent(spec, tmp_path)
    training, taken = forked(spec, saved)
    assert set(taken.values()) == {True}
    assert curve(training) == whole[AT:]


def test_groups_cycles_a_plateau_averages_and_patience_go_on_too(experiment: Any, tmp_path: Path) -> None:
    spec = experiment(
        model=NOISY,
        optimizer={"kind": "adamw"},
        groups=({"match": {"dim": 2}, "optimizer": {"kind": "muon"}},),
        schedule={"kind": "warmup", "steps": 4, "after": {"kind": "plateau", "patience": 0, "threshold": 0.5}},
        average={"kind": "ema", "decay": 0.9},
        stop={"patience": {"series": "average/val/loss", "evaluations": 20}},
        evaluate={"every_steps": 3},
        steps=STEPS,
    )
    saved, whole = parent(spec, tmp_path)
    training, taken = forked(spec, saved)
    assert taken == dict.fromkeys(("model", "optimizer", "schedule", "average", "stop", "random"), True)
    assert curve(training) == whole[AT:]
    cyclic = experiment(optimizer=KINDS["momentum"], schedule={"kind": "one_cycle", "max_lr": 0.2}, steps=STEPS)
    saved, whole = parent(cyclic, tmp_path)
    assert curve(forked(cyclic, saved)[0]) == whole[AT:]


def test_a_tenth_of_the_rate_keeps_the_momentum_and_the_first_loss(experiment: Any, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"model": NOISY, "steps": STEPS}
    saved, whole = parent(experiment(optimizer={"kind": "adamw", "lr": 0.1}, **changes), tmp_path)
    slower = experiment(optimizer={"kind": "adamw", "lr": 0.01, "weight_decay": 0.2}, **changes)
    training, taken = forked(slower, saved)
    assert taken["optimizer"] is True
    (group,) = training.optimizers[0].param_groups
    assert (group["lr"], group["weight_decay"]) == (0.01, 0.2)
    state = training.optimizers[0].state_dict()["state"]
    assert float(state[0]["step"]) == AT
    assert state[0]["exp_avg"].abs().sum() > 0
    seen = curve(training)
    assert seen[0] == (AT + 1, 0.01, whole[AT][2])  # the same weights, rows and dropout
    assert seen[1][2] != whole[AT + 1][2]


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({"kind": "sgd", "momentum": 0.9}, {"kind": "adamw"}, "the parent's was SGD, this run's is AdamW"),
        ({"kind": "adam"}, {"kind": "adamw"}, "the parent's was Adam, this run's is AdamW"),
        ({"kind": "adam"}, {"kind": "adam", "amsgrad": True}, "amsgrad decides"),
        ({"kind": "rmsprop"}, {"kind": "rmsprop", "momentum": 0.9}, "momentum decides"),
        (
            {"kind": "pytorch_optimizer", "name": "lion"},
            {"kind": "pytorch_optimizer", "name": "tiger"},
            "the parent's was Lion, this run's is Tiger",
        ),
    ],
)
def test_another_optimizer_starts_afresh_and_says_why(
    before: Any, after: Any, reason: str, experiment: Any, tmp_path: Path
) -> None:
    saved, whole = parent(experiment(model=NOISY, optimizer=before, steps=STEPS), tmp_path)
    training, taken = forked(experiment(model=NOISY, optimizer=after, steps=STEPS), saved)
    assert reason in taken["optimizer"]
    assert not training.optimizers[0].state_dict()["state"]
    seen = curve(training)
    assert seen[0][2] == whole[AT][2]
    assert all(torch.isfinite(p).all() for p in training.model.parameters())


def test_other_groups_start_afresh(experiment: Any, tmp_path: Path) -> None:
    saved, _ = parent(experiment(optimizer={"kind": "adamw"}, steps=STEPS), tmp_path)
    training, taken = forked(experiment(optimizer={"kind": "adamw"}, no_decay=True, steps=STEPS), saved)
    assert taken["optimizer"] == "its parameter groups are others"
    curve(training)


def test_another_seed_draws_anew_on_the_same_weights(experiment: Any, tmp_path: Path) -> None:
    spec = experiment(model=NOISY, steps=STEPS)
    saved, whole = parent(spec, tmp_path)
    (one, taken), (two, _) = forked(spec, saved, seed=12), forked(spec, saved, seed=12)
    assert taken["random"] == "the seed was changed"
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True))
    seen = curve(one)
    assert seen[0][2] != whole[AT][2]
    assert seen == curve(forked(spec, saved, seed=12)[0])


def test_another_batch_size_goes_on_at_the_same_count_of_updates(experiment: Any, tmp_path: Path) -> None:
    saved, _ = parent(experiment(batch_size=16, steps=STEPS), tmp_path)
    training, taken = forked(experiment(batch_size=5, steps=STEPS), saved)
    assert set(taken.values()) == {True}
    own = prepare(experiment(batch_size=5, steps=STEPS), 11, CPU)
    for step in (AT + 1, AT + 2, STEPS):
        assert torch.equal(training.batches.batch(step)[0], own.batches.batch(step)[0])
    assert [step for step, _, _ in curve(training)] == list(range(AT + 1, STEPS + 1))


def test_a_plateau_an_average_and_rules_that_are_new_start_afresh(experiment: Any, tmp_path: Path) -> None:
    saved, _ = parent(experiment(steps=STEPS), tmp_path)
    spec = experiment(
        schedule={"kind": "plateau"}, average={"kind": "swa"}, stop={"target": {"series": "loss", "below": 0}},
        steps=STEPS,
    )  # fmt: skip
    training, taken = forked(spec, saved)
    afresh = {name for name, what in taken.items() if what is not True}
    assert afresh == {"schedule", "average", "stop"}
    assert len(curve(training)) == STEPS - AT


@pytest.mark.parametrize(
    ("model", "named"),
    [
        ({"kind": "mlp", "hidden": (9,)}, r"layers\.0\.weight is \(8, 4\) there and \(9, 4\) here|0\.weight is"),
        ({"kind": "mlp", "hidden": (8, 8)}, "no parameter|there and"),
        ({"kind": "linear"}, "weight"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_with_the_first_parameter(
    model: Any, named: str, experiment: Any, tmp_path: Path
) -> None:
    saved, _ = parent(experiment(steps=STEPS), tmp_path)
    with pytest.raises(RunFailure, match=named) as caught:
        forked(experiment(model=model, steps=STEPS), saved)
    assert caught.value.kind == "spec_cannot_build"


def test_a_checkpoint_of_an_older_release_gives_its_weights(
    experiment: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, snapshot = experiment(optimizer={"kind": "adamw"}, steps=STEPS), checkpoint.snapshot

    def older(training: Training) -> Any:
        tensors, document = snapshot(training)
        return tensors, {name: value for name, value in document.items() if name not in ("spec", "layout")}

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "snapshot", older)
        saved, whole = parent(spec, tmp_path)
    training, taken = forked(spec, saved)
    assert taken["optimizer"].startswith("the checkpoint is of a release")
    assert curve(training)[0][2] == whole[AT][2]


@pytest.mark.parametrize("name", get_args(optimizers.PytorchOptimizer.model_fields["name"].annotation))
def test_every_name_of_the_library_forks_without_a_change(name: str, experiment: Any, tmp_path: Path) -> None:
    optimizer = {"kind": "pytorch_optimizer", "name": name, "lr": 1.0 if name == "prodigy" else 1e-3}
    spec = experiment(optimizer=optimizer, steps=16)
    saved, whole = parent(spec, tmp_path)
    assert curve(forked(spec, saved)[0]) == whole[AT:]
