"""The training loop: from a spec and a seed to one `Step` per update. It knows no rows, queues, clocks or files."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from service.spec.experiment import Clip, Experiment
from worker.build import build
from worker.data.batches import Batches
from worker.data.split import split
from worker.device import make_deterministic, optimizer_policy
from worker.evaluate import Validation, targets
from worker.rates import Rates


class Step(NamedTuple):
    """What one update left behind."""

    step: int  # counts from 1
    lr: float
    loss: Tensor  # batch mean before the update, detached, still on the device
    readings: dict[str, float | Tensor] | None  # series that are not measured at every step


class Training:
    """One run as far as it got: after `step` updates."""

    def __init__(self, spec: Experiment, seed: int, device: torch.device) -> None:
        parts = split(spec.dataset)
        self.spec, self.seed, self.device, self.step = spec, seed, device, 0
        self.model: nn.Module = build(spec.model, spec.dataset.facts.shape, spec.outputs).to(device)
        self.criterion: nn.Module = build(spec.loss).to(device)
        policy = optimizer_policy(spec.optimizer.kind, device)
        self.optimizer: Optimizer = build(spec.optimizer, self.model.parameters(), **policy)
        x, y = torch.from_numpy(parts.train.x).to(device), targets(parts.train.y, spec.loss).to(device)
        self.batches = Batches.of(spec, x, y, seed)
        self.rates = Rates(spec)
        self.validation = Validation.of(spec, parts.validation, device)

    def state(self) -> dict[str, Any]:
        """All that later steps depend on, random states aside."""
        optimizer, schedule = self.optimizer.state_dict(), self.rates.document()
        return {"step": self.step, "model": self.model.state_dict(), "optimizer": optimizer, "schedule": schedule}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state()` of the same spec and seed."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rates.load(state["schedule"])
        self.step = state["step"]


def prepare(spec: Experiment, seed: int, device: torch.device) -> Training:
    """A training at step 0; nothing that ran before in this process changes it."""
    make_deterministic()
    torch.manual_seed(seed)
    return Training(spec, seed, device)


def train(training: Training) -> Iterator[Step]:
    """Train to the end of the spec, yielding one `Step` per update; to stop, stop asking."""
    spec, model, criterion, optimizer = training.spec, training.model, training.criterion, training.optimizer
    validation, total, rates = training.validation, spec.total_steps, training.rates
    model.train()
    for step in range(training.step + 1, total + 1):
        lr = rates.apply(optimizer, step)
        x, y = training.batches.batch(step)  # (B, *shape), (B,) or (B, 1)
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(model(x), y)
        loss.backward()
        readings = clip(model, spec.clip) if spec.clip is not None else None
        optimizer.step()
        training.step = step

        if validation is not None and (step % validation.every == 0 or step == total):
            measured = validation.measure(model, criterion)
            rates.listen(step, measured)
            readings = (readings or {}) | measured
        yield Step(step, lr, loss.detach(), readings)


def clip(model: nn.Module, by: Clip) -> dict[str, float | Tensor]:
    """Clip the gradients in place; the reading is their total 2-norm before."""
    parameters = list(model.parameters())
    if by.norm is not None:
        return {"grad_norm": nn.utils.clip_grad_norm_(parameters, by.norm)}
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    nn.utils.clip_grad_value_(parameters, by.value or 0.0)
    return {"grad_norm": norm}
