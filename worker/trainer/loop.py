"""The training loop: from a spec and a seed to one `Step` per update. It knows no rows, queues, clocks or files."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from service.spec.experiment import Experiment
from worker.trainer.build import build, build_optimizers, refuse_single_rows
from worker.trainer.data.batches import Batches
from worker.trainer.data.files import Files
from worker.trainer.data.split import split
from worker.trainer.device import make_deterministic
from worker.trainer.optim.modes import measured_weights, train_mode
from worker.trainer.optim.stepping import update_of
from worker.trainer.probes.watchers.watching import Probes
from worker.trainer.step.evaluate import Validation, criterion_of, on_device
from worker.trainer.step.gradients import Gradients
from worker.trainer.step.mechanics import Mechanics
from worker.trainer.step.rates import Rates

Readings = dict[str, float | Tensor]


class Step(NamedTuple):
    """What one update left behind."""

    step: int  # counts from 1
    lr: float
    loss: Tensor  # batch mean before the update, detached, still on the device
    readings: Readings | None  # series that are not measured at every step


class Training:
    """One run as far as it got: after `step` updates."""

    def __init__(self, spec: Experiment, seed: int, device: torch.device, files: Files) -> None:
        parts = split(spec.dataset, files)
        self.scales = {name: scale.as_json() for name, scale in parts.scales.items()}
        self.coarse = parts.coarse
        self.spec, self.seed, self.device, self.step = spec, seed, device, 0
        self.model: nn.Module = build(spec.model, spec.dataset.facts.shape, spec.outputs).to(device)
        if spec.layout is None:
            refuse_single_rows(spec, self.model)
        self.criterion: nn.Module = criterion_of(spec, device)
        self.optimizers = build_optimizers(spec, self.model, device)
        self.evaluations = 0  # gradients computed so far by an optimizer that asks for several an update
        self.batches = Batches.of(spec, *on_device(parts.train, spec.loss, device), seed)
        self.rates = Rates(spec, self.optimizers)
        self.mechanics = Mechanics(spec, self.model, self.criterion, self.optimizers, self.batches, device)
        self.updates = [update_of(optimizer) for optimizer in self.optimizers]
        self.validation = Validation.of(spec, parts.validation, device)
        self.probes = Probes(spec)
        self.test = parts.test  # rows as they were read: looked at once, at the end

    def plainly(self) -> None:
        """Go on without translated code, whose insides nobody can look at; the last bits differ from then on."""
        mechanics = self.mechanics
        mechanics.gradients = Gradients(
            self.model, self.criterion, self.batches, mechanics.precision, self.spec.accumulate
        )

    @property
    def ended(self) -> dict[str, Any] | None:
        """The stop rule that ended it before the spec's last step."""
        return self.mechanics.stopping.ended

    def state(self) -> dict[str, Any]:
        """All that later steps depend on, random states aside."""
        optimizers, schedule = [each.state_dict() for each in self.optimizers], self.rates.document()
        mechanics = {"tensors": self.mechanics.tensors(), "document": self.mechanics.document()}
        parts = {"optimizers": optimizers, "schedule": schedule, "mechanics": mechanics}
        return {"step": self.step, "model": self.model.state_dict(), "evaluations": self.evaluations} | parts

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a `state()` of the same spec and seed."""
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.evaluations = state["evaluations"]
        self.rates.load(state["schedule"])
        self.mechanics.load(**state["mechanics"])
        self.step = state["step"]


def prepare(spec: Experiment, seed: int, device: torch.device, files: Files = Files()) -> Training:  # noqa: B008
    """A training at step 0; nothing that ran before in this process changes it. `files`: where uploads lie."""
    make_deterministic()
    torch.manual_seed(seed)
    return Training(spec, seed, device, files)


def train(training: Training) -> Iterator[Step]:
    """Train to the end of the spec, yielding one `Step` per update; to stop, stop asking."""
    model, optimizers, rates, mechanics = training.model, training.optimizers, training.rates, training.mechanics
    precision, averaging, stopping = mechanics.precision, mechanics.averaging, mechanics.stopping
    total, every, probes = training.spec.total_steps, training.spec.evaluation_every, training.probes
    searches = training.spec.optimizer.searches
    model.train()
    train_mode(optimizers)
    probes.begin(training)
    stopping.begin()
    for step in range(training.step + 1, total + 1):
        if training.ended:
            return
        update = step - precision.skipped  # schedules count updates that changed the weights
        lr = rates.apply(update)
        readings: Readings | None
        watched = step == probes.next
        if watched:
            probes.enter(training, step)
        if searches:
            (loss, readings), finite = search(training, step), True
        else:
            loss = mechanics.gradients.compute(step)
            finite = precision.unscale(optimizers)
            if watched:
                probes.before(training, step)
            readings = mechanics.clipping.apply()
            if finite:
                for update_weights in training.updates:
                    update_weights()
        if finite and averaging is not None:
            averaging.update(step, model)
        training.step = step
        if watched:
            readings = probes.after(training, step, finite) | (readings or {})
        if rates.apart:
            readings = (readings or {}) | rates.readings()

        stopping.after_step(step, readings or {})
        if step % every == 0 or step == total or training.ended:
            with measured_weights(optimizers):
                measured = mechanics.measure(step, training.validation) | probes.evaluated(training, step)
            rates.listen(update, measured)
            stopping.after_evaluation(step, measured | {"loss": loss})
            if step == total or training.ended:
                with measured_weights(optimizers):
                    measured |= mechanics.finally_measure(training.spec, training.test)
            readings = (readings or {}) | measured
        yield Step(step, lr, loss, readings or None)


def search(training: Training, step: int) -> tuple[Tensor, Readings]:
    """An update by an optimizer that asks for gradients itself, each clipped; loss and norm are those of the first."""
    gradients, clipping = training.mechanics.gradients, training.mechanics.clipping
    seen: list[tuple[Tensor, Readings]] = []

    def closure() -> Any:
        clipped = clipping.clipped.clone()
        loss = gradients.compute(step)
        if not seen and step == training.probes.next:
            training.probes.before(training, step)
        readings = clipping.apply() or {}
        if seen:
            clipping.clipped.copy_(clipped)  # an update is clipped once at most
        seen.append((loss, readings))
        return loss

    (optimizer,) = training.optimizers
    optimizer.step(closure)
    training.evaluations += len(seen)
    loss, readings = seen[0]
    return loss, readings | {"gradient_evaluations": float(training.evaluations)}
