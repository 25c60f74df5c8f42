"""Real short trainings in this process, with what the default watchers record, computed here in the plainest way."""

import json
from collections import defaultdict
from typing import Any

import numpy as np
import torch
from torch import nn

from service.analysis.run_data import Reading, Series
from service.diagnosis.plan import Plan
from service.diagnosis.run_record import RunRecord
from service.spec.experiment import Experiment
from service.spec.parse.experiment import parse_experiment
from worker.trainer.loop import prepare, train

BASE: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": [32]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.05},
    "batch_size": 32,
    "steps": 400,
}


def spec_of(**changes: Any) -> Experiment:
    """What a person would post."""
    changed = {**BASE, **changes}
    if "epochs" in changes:
        del changed["steps"]
    return parse_experiment(json.loads(json.dumps(changed))).spec


def owners(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    found: dict[str, list[nn.Parameter]] = defaultdict(list)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            found[name.rpartition(".")[0]].append(parameter)
    return found


def norm(tensors: Any) -> float:
    return float(torch.sqrt(sum((t.double() ** 2).sum() for t in tensors)))


def trained(spec: Experiment, seed: int = 0, upto: int | None = None, every: int = 1) -> RunRecord:
    """Train it, as far as `upto`, and give what a diagnosis is drawn from."""
    training = prepare(spec, seed, torch.device("cpu"))
    points: dict[str, dict[int, float]] = defaultdict(dict)
    layers, watch = owners(training.model), _Activations(training.model)
    before = _flat(training.model)
    last: torch.Tensor | None = None
    failure = None
    for step in train(training):
        loss = float(step.loss)
        at = step.step
        points["loss"][at], points["lr"][at] = loss, step.lr
        after = _flat(training.model)
        if at % every == 0 or at == 1:
            gradient = torch.cat([p.grad.flatten() for ps in layers.values() for p in ps if p.grad is not None])
            now = {path: norm(p.grad for p in ps if p.grad is not None) for path, ps in layers.items()}
            points["grad_norm"][at] = norm([gradient])
            for path, value in now.items():
                points[f"grad_norm/{path}"][at] = value
            points["update_ratio"][at] = norm([after - before]) / max(norm([before]), 1e-30)
            moved = gradient != 0 if len(gradient) == len(after) else torch.ones_like(after, dtype=torch.bool)
            points["underflow_share"][at] = float(((after == before) & moved).sum() / max(1, int(moved.sum())))
            if last is not None:
                points["cosine/gradient"][at] = float(torch.cosine_similarity(last, gradient, 0))
            last = gradient.clone()
            for name, value in watch.taken().items():
                points[name][at] = value
        for name, value in (step.metrics or {}).items():  # what the training itself recorded is what counts
            points[name][at] = float(value)
        before = after
        if not np.isfinite(loss) and spec.nonfinite == "fail":
            failure = {"code": "diverged", "step": step.step}
            break
        if upto is not None and step.step >= upto:
            break
    done = training.step
    state = "failed" if failure else "running" if upto is not None and done < spec.total_steps else "succeeded"
    series = {name: Series.exact(list(found), list(found.values())) for name, found in points.items()}
    return RunRecord(Plan(spec), series, _start(spec, seed), state, done, failure)


def _flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters() if p.requires_grad]).clone()


def _start(spec: Experiment, seed: int) -> list[Reading]:
    """The reading of the start, as far as rules ask for it."""
    training = prepare(spec, seed, torch.device("cpu"))
    if spec.dataset.facts.task == "objective":
        return []
    x, y = training.batches.x, training.batches.y  # all rows, as they are trained on
    training.model.eval()
    with torch.no_grad():
        first = float(training.criterion(training.model(x), y))
    data: dict[str, Any] = {"initial_loss": first}
    if spec.dataset.facts.task == "classification" and spec.loss.kind == "cross_entropy":
        shares = torch.bincount(y, minlength=spec.outputs).double() / len(y)
        data |= {
            "trivial_loss": float(-(shares[shares > 0] * shares[shares > 0].log()).sum()),
            "trivial": "class prior",
        }
    elif spec.loss.kind == "mse":
        data |= {"trivial_loss": float(y.double().var(correction=0)), "trivial": "mean"}
        data["target_variance"] = data["trivial_loss"]
    if x.ndim > 1 and x.dtype.is_floating_point:
        spread = x.flatten(1).double().std(0)
        spread = spread[spread > 0]
        data["feature_std_ratio"] = float(spread.max() / spread.min())
    return [Reading(1, 0, "start", data)]


class _Activations:
    """Hooks on every activation."""

    def __init__(self, model: nn.Module) -> None:
        self.values: dict[str, float] = {}
        for path, module in model.named_modules():
            if isinstance(module, nn.ReLU | nn.Sigmoid | nn.Tanh):
                module.register_forward_hook(self._look(path))

    def _look(self, path: str) -> Any:
        def hook(module: nn.Module, _: Any, out: torch.Tensor) -> None:
            if not module.training:
                return
            flat = out.detach().flatten(1)
            if isinstance(module, nn.ReLU):
                self.values[f"dead_share/{path}"] = float((flat == 0).all(0).double().mean())
            else:
                low = 0.0 if isinstance(module, nn.Sigmoid) else -1.0
                edge = 0.01 * (1 - low)
                self.values[f"saturated_share/{path}"] = float(
                    ((flat < low + edge) | (flat > 1 - edge)).double().mean()
                )

        return hook

    def taken(self) -> dict[str, float]:
        return self.values
