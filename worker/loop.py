"""The training loop: from a spec and a seed to one `Step` per update. It knows no rows, queues, clocks or files."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from service.spec.experiment import Experiment
from worker.build import build
from worker.data.batches import Batches
from worker.data.split import split
from worker.device import make_deterministic, optimizer_policy
from worker.evaluate import Validation, targets
from worker.mechanics import Mechanics
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
        self.mechanics = Mechanics(spec, self.model, self.criterion, self.batches, device)
        self.validation = Validation.of(spec, parts.validation, device)

    @property
    def ended(self) -> dict[str, Any] | None:
        """The stop rule that ended it before the spec's last step."""
        return self.mechanics.stopping.ended

    def state(self) -> dict[str, Any]:
        """All that later steps depend on, random states aside."""
        optimizer, schedule = self.optimizer.state_dict(), self.rates.document()
        mechanics = {"tensors": self.mechanics.tensors(), "document": self.mechanics.document()}
        parts = {"optimizer": optimizer, "schedule": schedule, "mechanics": mechanics}
        return {"step": self.step, "model": self.model.state_dict()} | parts

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state()` of the same spec and seed."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rates.load(state["schedule"])
        self.mechanics.load(**state["mechanics"])
        self.step = state["step"]


def prepare(spec: Experiment, seed: int, device: torch.device) -> Training:
    """A training at step 0; nothing that ran before in this process changes it."""
    make_deterministic()
    torch.manual_seed(seed)
    return Training(spec, seed, device)


def train(training: Training) -> Iterator[Step]:
    """Train to the end of the spec, yielding one `Step` per update; to stop, stop asking."""
    model, optimizer, rates, mechanics = training.model, training.optimizer, training.rates, training.mechanics
    precision, averaging, stopping = mechanics.precision, mechanics.averaging, mechanics.stopping
    total, every = training.spec.total_steps, training.spec.evaluation_every
    model.train()
    stopping.begin()
    for step in range(training.step + 1, total + 1):
        if training.ended:
            return
        update = step - precision.skipped  # schedules count updates that changed the weights
        lr = rates.apply(optimizer, update)
        loss = mechanics.gradients.compute(step)
        finite = precision.unscale([optimizer])
        readings = mechanics.clipping.apply()
        if finite:
            optimizer.step()
            if averaging is not None:
                averaging.update(step, model)
        training.step = step

        stopping.after_step(step, readings or {})
        if step % every == 0 or step == total or training.ended:
            measured = mechanics.measure(step, training.validation)
            rates.listen(update, measured)
            stopping.after_evaluation(step, measured | {"loss": loss})
            readings = (readings or {}) | measured
        yield Step(step, lr, loss, readings or None)
