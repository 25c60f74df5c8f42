"""Groups that are frozen up to an update, and frozen statistics: equal to plain loops of torch, and resumed exactly."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from worker.trainer.checkpoints.resume_check import difference, trace, train_in_pieces
from worker.trainer.loop import Training, prepare, train
from worker.trainer.models.norms import with_changing_statistics

CPU = torch.device("cpu")
MODEL: dict[str, Any] = {"kind": "mlp", "hidden": (8, 6), "norm": "batch"}
BODY: dict[str, Any] = {"match": {"name": "layers.[0-5].*"}, "name": "body", "freeze": True, "unfreeze_at": 12}
SCHEDULE = {"kind": "step", "step_size": 10, "gamma": 0.5}
STEPS = 30
SGD = {"kind": "sgd", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
OPTIMIZERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "sgd": (SGD, {"lr": 0.02}),
    "adam": ({"kind": "adam", "lr": 0.01}, {"lr": 0.001}),
    "rmsprop": ({"kind": "rmsprop", "lr": 0.01, "momentum": 0.5}, {}),
    "an own optimizer": (SGD, {"optimizer": {"kind": "adamw", "lr": 0.003}}),
}


def torchs(optimizer: dict[str, Any]) -> tuple[type[torch.optim.Optimizer], dict[str, Any]]:
    """Return torch's class and arguments for the spec of an optimizer."""
    classes = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    settings = {name: value for name, value in optimizer.items() if name != "kind"}
    found: type[torch.optim.Optimizer] = classes.get(optimizer["kind"], torch.optim.RMSprop)
    return found, settings | ({"fused": True} if "adam" in optimizer["kind"] else {})


def by_hand(training: Training, kind: str, frozen_statistics: bool = False) -> tuple[list[float], list[torch.Tensor]]:
    """Losses and weights of a plain loop that gives the body to an optimizer at update 12."""
    own, rule = OPTIMIZERS[kind]
    torch.manual_seed(training.seed)
    model = nn.Sequential(
        *(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    )
    body, head = model[:6].requires_grad_(False), list(model[6].parameters())
    make, settings = torchs(own)
    optimizers = [make(head, **settings)]
    groups = list(optimizers[0].param_groups)
    bases = [settings["lr"]]
    losses = []
    model.train()
    if frozen_statistics:
        body.eval()
    for step in range(1, STEPS + 1):
        if step == 12:
            body.requires_grad_(True)
            if "optimizer" in rule:
                make, settings = torchs(rule["optimizer"])
                optimizers.append(make(body.parameters(), **settings))
            else:
                optimizers[0].add_param_group({"params": list(body.parameters()), **rule})
            groups = [group for each in optimizers for group in each.param_groups]
            bases.append(groups[-1]["lr"] if rule else own["lr"])
        for group, base in zip(groups, bases, strict=True):
            group["lr"] = base * 0.5 ** ((step - 1) // 10)
        x, y = training.batches.batch(step)
        model.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        for each in optimizers:
            each.step()
        losses.append(loss.item())
    return losses, [each.detach() for each in model.state_dict().values()]


def fresh(experiment: Any, kind: str = "sgd", **changes: Any) -> Training:
    own, rule = OPTIMIZERS[kind]
    given = {"model": MODEL, "optimizer": own, "groups": (BODY | rule,), "schedule": SCHEDULE, "steps": STEPS}
    return prepare(experiment(**(given | changes)), 5, CPU)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_a_body_unfrozen_at_an_update_is_trained_as_by_hand(experiment: Any, kind: str) -> None:
    training = fresh(experiment, kind)
    steps = list(train(training))
    losses, weights = by_hand(training, kind)
    assert [step.loss.item() for step in steps] == losses
    for ours, theirs in zip(training.model.state_dict().values(), weights, strict=True):
        assert torch.equal(ours, theirs)


def test_before_its_update_a_group_has_no_gradient_no_state_and_rate_0(experiment: Any) -> None:
    training = fresh(experiment, "adam", probes=({"kind": "gradients", "every_steps": 1},), clip={"norm": 1.0})
    body = [p for name, p in training.model.named_parameters() if not name.startswith("layers.6.")]
    start = [p.detach().clone() for p in body]
    for step in train(training):
        metrics, late = step.metrics or {}, step.step >= 12
        assert metrics["lr/default"] == step.lr
        assert metrics["lr/body"] == (0.001 / 0.01 * step.lr if late else 0.0)
        assert ("grad_norm/layers.0" in metrics) == late
        if not late:
            assert all(p.grad is None and p not in training.optimizers[0].state for p in body)
            assert all(torch.equal(p, was) for p, was in zip(body, start, strict=True))
    assert not any(torch.equal(p, was) for p, was in zip(body, start, strict=True))


def test_what_an_optimizer_counts_in_a_group_starts_with_the_group(experiment: Any) -> None:
    training = fresh(experiment, optimizer={"kind": "schedule_free_sgd", "lr": 0.1}, schedule={"kind": "constant"})
    list(train(training))
    assert [group["k"] for group in training.optimizers[0].param_groups] == [STEPS, STEPS - 11]


RESUMED: dict[str, dict[str, Any]] = {
    "adam": {},
    "accumulation, an average and fp16": {"accumulate": 3, "average": {"kind": "ema"}, "precision": "fp16"},
    "a counter in the group": {"optimizer": {"kind": "lecture_adagrad", "lr": 0.01}, "schedule": {"kind": "constant"}},
    "schedule-free": {"optimizer": {"kind": "schedule_free_adamw", "lr": 0.01}, "schedule": {"kind": "constant"}},
    "frozen statistics": {"groups": (BODY | {"norm_statistics": "frozen"},), "average": {"kind": "swa", "start": 20}},
}


@pytest.mark.parametrize("changes", RESUMED.values(), ids=RESUMED)
def test_a_run_cut_before_at_and_after_the_update_is_identical(
    experiment: Any, tmp_path: Path, changes: dict[str, Any]
) -> None:
    probes = tuple({"kind": each, "every_steps": 1} for each in ("gradients", "updates", "cosines"))

    def make() -> Training:
        return fresh(experiment, "adam", probes=probes, evaluate={"every_steps": 5}, **changes)

    whole = make()
    seen = trace(whole)
    assert difference((whole, seen), train_in_pieces(make, [4, 11, 12, 13, 25], tmp_path)) is None


def test_frozen_statistics_are_torchs_evaluation_mode(experiment: Any) -> None:
    rule = BODY | {"lr": 0.02, "norm_statistics": "frozen"}
    training = fresh(experiment, groups=(rule,), average={"kind": "swa", "start": 20})
    before = {name: each.clone() for name, each in training.model.named_buffers()}
    steps = list(train(training))
    losses, weights = by_hand(training, "sgd", frozen_statistics=True)
    assert [step.loss.item() for step in steps] == losses
    for ours, theirs in zip(training.model.state_dict().values(), weights, strict=True):
        assert torch.equal(ours, theirs)
    averaged = dict(training.pipeline.average.model.named_buffers())  # type: ignore[union-attr]
    for name, each in training.model.named_buffers():
        assert torch.equal(each, before[name])
        assert torch.equal(averaged[name], before[name])


def test_only_the_groups_statistics_are_frozen(experiment: Any) -> None:
    rule = {"match": {"name": "layers.1.*"}, "norm_statistics": "frozen"}
    training = fresh(experiment, groups=(rule,))
    list(train(training))
    frozen, learning = training.model.get_submodule("layers.1"), training.model.get_submodule("layers.4")
    assert with_changing_statistics(training.model) == [learning]
    assert (int(frozen.num_batches_tracked), int(learning.num_batches_tracked)) == (0, STEPS)  # type: ignore[arg-type]
