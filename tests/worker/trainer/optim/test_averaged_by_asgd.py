"""The mean that asgd keeps: measured as torch's own `ax`, and resumed with it."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from service.spec.checks.experiment import find_problems, find_warnings
from worker.trainer.checkpoints import checkpoint
from worker.trainer.loop import prepare, train

CPU = torch.device("cpu")
ASGD: dict[str, Any] = {"optimizer": {"kind": "asgd", "lr": 0.1, "t0": 10.0}, "average": {"kind": "asgd"}}


def test_the_mean_of_asgd_is_torchs_ax_on_the_validation_part(experiment: Any) -> None:
    training = prepare(experiment(**ASGD, evaluate={"every_steps": 40}), 0, CPU)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    theirs = torch.optim.ASGD(model.parameters(), lr=0.1, t0=10.0)
    steps = []
    for step in train(training):
        x, y = training.batches.batch(step.step)
        theirs.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        theirs.step()
        steps.append(step)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(theirs.state[p]["ax"])
    assert training.validation is not None
    expected = training.validation.measure(model, nn.CrossEntropyLoss())
    readings = steps[-1].metrics or {}
    assert float(readings["average/val/loss"]) == float(expected["val/loss"])
    assert float(readings["average/val/loss"]) != float(readings["val/loss"])


def test_before_its_t0_the_mean_is_the_weights_and_that_is_warned_of(experiment: Any) -> None:
    spec = experiment(optimizer={"kind": "asgd"}, average={"kind": "asgd"})
    last = list(train(prepare(spec, 0, CPU)))[-1].metrics or {}
    assert float(last["average/val/loss"]) == float(last["val/loss"])
    assert ("/average", "never_due") in [(each.pointer, each.code) for each in find_warnings(spec)]


def test_no_other_optimizer_keeps_one(experiment: Any) -> None:
    (problem,) = find_problems(experiment(average={"kind": "asgd"}))
    assert (problem.pointer, problem.code) == ("/average/kind", "contradiction")
    rule = {"match": {"dim": 1}, "optimizer": {"kind": "asgd"}}
    assert find_problems(experiment(average={"kind": "asgd"}, groups=(rule,))) == []


def test_it_goes_on_from_a_checkpoint_to_the_last_bit(experiment: Any, tmp_path: Path) -> None:
    spec = experiment(**ASGD, evaluate={"every_steps": 5})
    whole = [float((s.metrics or {})["average/val/loss"]) for s in train(prepare(spec, 0, CPU)) if s.step % 5 == 0]
    first = prepare(spec, 0, CPU)
    for step in train(first):
        if step.step == 20:
            break
    saved = checkpoint.save(tmp_path, first, {"environment": {}, "scales": {}})
    rest = prepare(spec, 0, CPU)
    checkpoint.load(saved.folder, saved.sha256, rest)
    resumed = [float((s.metrics or {})["average/val/loss"]) for s in train(rest) if s.step % 5 == 0]
    assert resumed == whole[4:]
