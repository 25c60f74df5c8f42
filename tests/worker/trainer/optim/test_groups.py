"""Parameter groups and several optimizers at work: equal to torch's groups and optimizers written by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from service.errors import RunFailure
from service.spec.group_assignment import assign_groups
from worker.trainer.build import build_optimizers, layout_of
from worker.trainer.loop import Training, prepare, train

CPU = torch.device("cpu")
MODEL: dict[str, Any] = {"kind": "mlp", "hidden": (8, 6), "norm": "batch"}
NAMES = [f"layers.{at}.{part}" for at in (0, 1, 3, 4, 6) for part in ("weight", "bias")]
Make = Callable[[dict[str, nn.Parameter]], list[torch.optim.Optimizer]]


def by_hand(training: Training, make: Make, steps: int, rate: Callable[[int], float]) -> list[float]:
    """The losses of a plain loop over the same rows, every group's rate its first times `rate`."""
    torch.manual_seed(training.seed)
    model = nn.Sequential(
        *(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    )
    optimizers = make({f"layers.{name}": p for name, p in model.named_parameters()})
    schedulers = [torch.optim.lr_scheduler.LambdaLR(each, rate) for each in optimizers]
    losses = []
    for step in range(1, steps + 1):
        x, y = training.batches.batch(step)
        model.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        for each in (*optimizers, *schedulers):
            each.step()
        losses.append(loss.item())
    return losses


def halving(s: int) -> float:
    return float(0.5 ** (s // 10))


SCHEDULE = {"kind": "step", "step_size": 10, "gamma": 0.5}


def losses_of(training: Training) -> list[float]:
    return [step.loss.item() for step in train(training)]


def test_groups_are_torchs_groups(experiment: Any) -> None:
    rules = (
        {"match": {"name": "layers.6.*"}, "lr": 0.02, "set": {"momentum": 0.5}, "name": "head"},
        {"match": {"module": "BatchNorm1d"}, "weight_decay": 0.0},
    )
    own = {"kind": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    spec = experiment(model=MODEL, optimizer=own, groups=rules, schedule=SCHEDULE)
    training = prepare(spec, 5, CPU)
    (optimizer,) = training.optimizers
    assert [group["label"] for group in optimizer.param_groups] == ["default", "head", "group1"]

    def make(p: dict[str, nn.Parameter]) -> list[torch.optim.Optimizer]:
        norms = [p[name] for name in NAMES if name.split(".")[1] in "14"]
        head = [p[name] for name in NAMES[-2:]]
        rest = [p[name] for name in NAMES if name.split(".")[1] in "03"]
        groups = [
            {"params": rest},
            {"params": head, "lr": 0.02, "momentum": 0.5},
            {"params": norms, "weight_decay": 0.0},
        ]
        return [torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.01)]

    assert losses_of(training) == by_hand(training, make, 40, halving)


def test_muon_and_adamw_are_two_optimizers_driven_side_by_side(experiment: Any) -> None:
    hidden = {"match": {"dim": 2, "name": "layers.[03].*"}, "optimizer": {"kind": "muon", "lr": 0.02}, "name": "hidden"}
    spec = experiment(model=MODEL, optimizer={"kind": "adamw", "lr": 0.01}, groups=(hidden,), schedule=SCHEDULE)
    training = prepare(spec, 5, CPU)
    assert [type(each).__name__ for each in training.optimizers] == ["AdamW", "Muon"]

    def make(p: dict[str, nn.Parameter]) -> list[torch.optim.Optimizer]:
        matrices = [p["layers.0.weight"], p["layers.3.weight"]]
        rest = [p[name] for name in NAMES if name not in ("layers.0.weight", "layers.3.weight")]
        return [torch.optim.AdamW(rest, lr=0.01, fused=True), torch.optim.Muon(matrices, lr=0.02)]

    steps = list(train(training))
    assert [step.loss.item() for step in steps] == by_hand(training, make, 40, halving)
    last = steps[-1].metrics or {}
    assert (last["lr/default"], last["lr/hidden"]) == (steps[-1].lr, 2 * steps[-1].lr)


def test_without_decay_are_the_vectors_as_by_hand(experiment: Any) -> None:
    own = {"kind": "adamw", "lr": 0.01, "weight_decay": 0.5}
    training = prepare(experiment(model=MODEL, optimizer=own, no_decay=True), 5, CPU)

    def make(p: dict[str, nn.Parameter]) -> list[torch.optim.Optimizer]:
        matrices, vectors = ([v for v in p.values() if (v.dim() > 1) == wide] for wide in (True, False))
        groups = [{"params": matrices}, {"params": vectors, "weight_decay": 0.0}]
        return [torch.optim.AdamW(groups, lr=0.01, weight_decay=0.5, fused=True)]

    steps = list(train(training))
    assert [step.loss.item() for step in steps] == by_hand(training, make, 40, lambda s: 1.0)
    assert not any(name.startswith("lr/") for step in steps for name in step.metrics or {})  # the rates do not differ


def test_layers_further_from_the_output_have_smaller_rates(experiment: Any) -> None:
    spec = experiment(model=MODEL, optimizer={"kind": "sgd", "lr": 0.1}, layer_decay=0.5, steps=3)
    steps = list(train(prepare(spec, 5, CPU)))
    deepest = max(parameter.depth for parameter in spec.layout)
    expected = {f"lr/default@{depth}": 0.1 * 0.5 ** (deepest - depth) for depth in range(deepest + 1)}
    for step in steps:
        assert {k: v for k, v in (step.metrics or {}).items() if k.startswith("lr/")} == expected
        assert step.lr == 0.1


def test_a_plateau_lowers_every_groups_own_rate(experiment: Any) -> None:
    plateau = {"kind": "plateau", "patience": 0, "threshold": 0.9, "factor": 0.5}
    head = {"match": {"name": "layers.6.*"}, "lr": 0.3, "name": "head"}
    spec = experiment(model=MODEL, groups=(head,), schedule=plateau, evaluate={"every_steps": 10})
    last = list(train(prepare(spec, 5, CPU)))[-1]
    assert last.lr < 0.1
    assert (last.metrics or {})["lr/head"] == pytest.approx(3 * last.lr, rel=1e-12)


def test_a_cycling_momentum_leaves_each_group_its_own_outside_the_cycle(experiment: Any) -> None:
    head = {"match": {"name": "layers.6.*"}, "set": {"momentum": 0.3}, "name": "head"}
    cycle = {"kind": "one_cycle", "max_lr": 0.1, "cycle_momentum": True}
    schedule = {"kind": "sequential", "schedules": (cycle, {"kind": "constant"}), "milestones": (10,)}
    own = {"kind": "sgd", "lr": 0.1, "momentum": 0.9}
    training = prepare(experiment(model=MODEL, optimizer=own, groups=(head,), schedule=schedule), 5, CPU)
    for step in train(training):
        momenta = [group["momentum"] for group in training.optimizers[0].param_groups]
        assert momenta == [0.9, 0.3] if step.step > 10 else momenta[0] == momenta[1] != 0.3


def test_frozen_parameters_stay_and_need_no_gradient(experiment: Any) -> None:
    rule = {"match": {"name": "layers.0.*"}, "freeze": True}
    training = prepare(experiment(model=MODEL, groups=(rule,), clip={"norm": 1.0}), 5, CPU)
    before = {name: p.detach().clone() for name, p in training.model.named_parameters()}
    losses = losses_of(training)
    moved = {name for name, p in training.model.named_parameters() if not torch.equal(p, before[name])}
    may_stay = {"layers.3.bias"}  # in front of a BatchNorm it has no gradient but rounding, which may be 0
    assert moved | may_stay == set(NAMES) - {"layers.0.weight", "layers.0.bias"}
    assert losses[-1] < losses[0]
    assert all(p.grad is None for name, p in training.model.named_parameters() if name.startswith("layers.0."))


def test_a_frozen_part_leaves_lbfgs_one_group(experiment: Any) -> None:
    rule = {"match": {"name": "layers.0.*"}, "freeze": True}
    spec = experiment(model=MODEL, groups=(rule,), optimizer={"kind": "lbfgs", "lr": 0.1}, batch_size="full", steps=5)
    training = prepare(spec, 5, CPU)
    before = {name: p.detach().clone() for name, p in training.model.named_parameters()}
    losses = losses_of(training)
    assert losses[1] < losses[0]  # later ones depend on the processor: a search without a line search may still diverge
    moved = {name for name, p in training.model.named_parameters() if not torch.equal(p, before[name])}
    assert moved | {"layers.3.bias"} == {name for name in before if not name.startswith("layers.0.")}


def test_groups_are_the_assignment(experiment: Any) -> None:
    rules = ({"match": {"dim": 2}, "optimizer": {"kind": "muon"}}, {"match": {"name": "*.1.bias"}, "freeze": True})
    spec = experiment(model=MODEL, optimizer={"kind": "adamw"}, groups=rules, layer_decay=0.9, no_decay=True)
    training = prepare(spec, 5, CPU)
    names = {id(p): name for name, p in training.model.named_parameters()}
    theirs = {
        group["label"]: (group["lr"], tuple(names[id(p)] for p in group["params"]))
        for optimizer in training.optimizers
        for group in optimizer.param_groups
    }
    assert theirs == {g.label: (g.optimizer.lr, g.names) for g in assign_groups(spec) if g.optimizer}
    assert {g.names for g in assign_groups(spec) if g.optimizer is None} == {("layers.1.bias",)}


def test_a_model_that_only_the_worker_knows_is_checked_there(experiment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = experiment(model=MODEL, groups=({"match": {"name": "blocks.*"}, "lr": 0.2},))
    model = prepare(experiment(model=MODEL), 0, CPU).model
    known = spec.layout
    monkeypatch.setattr(type(spec), "layout", None)
    with pytest.raises(RunFailure, match="/groups/0/match: no parameter of the model is like that") as caught:
        build_optimizers(spec, model, CPU)
    assert caught.value.kind == "spec_cannot_build"
    found = layout_of(model)
    assert [(p.name, p.shape, p.module) for p in found] == [(p.name, p.shape, p.module) for p in known]
    assert [p.depth for p in found] == sorted(p.depth for p in found)
