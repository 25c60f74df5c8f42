"""The training loop: from a spec and a seed to one `Step` per update. It knows no rows, queues, clocks or files."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from service.spec.experiment import Experiment
from worker.trainer.build import build, build_optimizers, refuse_single_rows
from worker.trainer.data.batches import Batches
from worker.trainer.data.dataset_folders import NO_FOLDERS, DatasetFolders
from worker.trainer.data.split import split
from worker.trainer.environment import make_deterministic
from worker.trainer.metrics import Metrics
from worker.trainer.optim.fast_step import fast_step
from worker.trainer.optim.schedule_free import eval_weights, train_mode
from worker.trainer.probes.runner import ProbeRunner
from worker.trainer.step.evaluation import Validation, build_criterion, to_device
from worker.trainer.step.gradients import Gradients
from worker.trainer.step.learning_rates import LearningRates
from worker.trainer.step.mechanics import Mechanics


class Step(NamedTuple):
    """The result of one update."""

    step: int  # counts from 1
    lr: float
    loss: Tensor  # batch mean before the update, detached, still on the device
    metrics: Metrics | None  # series that have no value at most steps


class Training:
    """The state of one run after `step` updates."""

    def __init__(self, spec: Experiment, seed: int, device: torch.device, files: DatasetFolders) -> None:
        parts = split(spec.dataset, files)
        self.scales = {name: scale.as_json() for name, scale in parts.scales.items()}
        self.coarse = parts.coarse
        self.spec, self.seed, self.device, self.step = spec, seed, device, 0
        self.model: nn.Module = build(spec.model, spec.dataset.facts.shape, spec.outputs).to(device)
        if spec.layout is None:
            refuse_single_rows(spec, self.model)
        self.criterion: nn.Module = build_criterion(spec, device)
        self.optimizers = build_optimizers(spec, self.model, device)
        self.evaluations = 0  # gradients computed so far by an optimizer that needs several per update
        self.batches = Batches.of(spec, *to_device(parts.train, spec.loss, device), seed)
        self.rates = LearningRates(spec, self.optimizers)
        self.mechanics = Mechanics(spec, self.model, self.criterion, self.optimizers, self.batches, device)
        self.optimizer_steps = [fast_step(optimizer) for optimizer in self.optimizers]
        self.validation = Validation.of(spec, parts.validation, device)
        self.probes = ProbeRunner(spec)
        self.test = parts.test  # measured once, at the end

    def use_eager_gradients(self) -> None:
        """Replace compiled gradients, which no hook can see into; the last bits differ from then on."""
        mechanics = self.mechanics
        mechanics.gradients = Gradients(
            self.model, self.criterion, self.batches, mechanics.precision, self.spec.accumulate
        )

    @property
    def ended(self) -> dict[str, Any] | None:
        """The stop rule that ended the training before its last step."""
        return self.mechanics.stopping.ended

    def state(self) -> dict[str, Any]:
        """Return everything that later steps depend on, random states aside."""
        optimizers, schedule = [each.state_dict() for each in self.optimizers], self.rates.document()
        mechanics = {"tensors": self.mechanics.tensors(), "document": self.mechanics.document()}
        parts = {"optimizers": optimizers, "schedule": schedule, "mechanics": mechanics}
        return {"step": self.step, "model": self.model.state_dict(), "evaluations": self.evaluations} | parts

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a `state()` of the same spec and seed."""
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.evaluations = state["evaluations"]
        self.rates.load(state["schedule"])
        self.mechanics.load(**state["mechanics"])
        self.step = state["step"]


def prepare(spec: Experiment, seed: int, device: torch.device, files: DatasetFolders = NO_FOLDERS) -> Training:
    """Return a training at step 0; nothing that ran before in this process changes it."""
    make_deterministic()
    torch.manual_seed(seed)
    return Training(spec, seed, device, files)


def train(training: Training) -> Iterator[Step]:
    """Train to the end of the spec, yielding one `Step` per update; to stop, stop iterating."""
    model, optimizers, rates, mechanics = training.model, training.optimizers, training.rates, training.mechanics
    precision, average, stopping, probes = mechanics.precision, mechanics.average, mechanics.stopping, training.probes
    model.train()
    train_mode(optimizers)
    probes.begin(training)
    stopping.begin()
    for step in range(training.step + 1, training.spec.total_steps + 1):
        if training.ended:
            return
        update = step - precision.skipped  # schedules count updates that changed the weights
        lr = rates.apply(update)
        if probed := step == probes.next_step:
            probes.before_forward(training, step)

        if training.spec.optimizer.needs_closure:
            (loss, metrics), finite = search(training, step), True
        else:
            loss = mechanics.gradients.compute(step)
            finite = precision.unscale(optimizers)
            if probed:
                probes.after_backward(training, step)
            metrics = mechanics.clipping.apply()
            if finite:
                for optimizer_step in training.optimizer_steps:
                    optimizer_step()

        if finite and average is not None:
            average.update(step, model)
        training.step = step
        if probed:
            metrics = probes.after_update(training, step, finite) | metrics
        if rates.differ:
            metrics |= rates.metrics()
        stopping.after_step(step, metrics)
        metrics |= evaluate(training, update, loss)
        yield Step(step, lr, loss, metrics or None)


def evaluate(training: Training, update: int, loss: Tensor) -> Metrics:
    """Measure the validation part where that is due, and the test part once the training has ended."""
    step, mechanics, last = training.step, training.mechanics, training.step == training.spec.total_steps
    if not (step % training.spec.evaluation_every == 0 or last or training.ended):
        return {}
    with eval_weights(training.optimizers):
        metrics = mechanics.measure(step, training.validation) | training.probes.after_evaluation(training, step)
    training.rates.observe(update, metrics)
    mechanics.stopping.after_evaluation(step, metrics | {"loss": loss})
    if last or training.ended:
        with eval_weights(training.optimizers):
            metrics |= mechanics.measure_test(training.spec, training.test)
    return metrics


def search(training: Training, step: int) -> tuple[Tensor, Metrics]:
    """Make an update by an optimizer that calls for gradients itself, each clipped; loss and norm are the first's."""
    gradients, clipping = training.mechanics.gradients, training.mechanics.clipping
    computed: list[tuple[Tensor, Metrics]] = []

    def closure() -> Any:
        clipped = clipping.clipped.clone()
        loss = gradients.compute(step)
        if not computed and step == training.probes.next_step:
            training.probes.after_backward(training, step)
        metrics = clipping.apply()
        if computed:
            clipping.clipped.copy_(clipped)  # count an update at most once
        computed.append((loss, metrics))
        return loss

    (optimizer,) = training.optimizers
    optimizer.step(closure)
    training.evaluations += len(computed)
    loss, metrics = computed[0]
    return loss, metrics | {"gradient_evaluations": float(training.evaluations)}
