"""The training loop: from a spec and a seed to one `Step` per update, without database, queue, clock or files."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from service.spec.datasets.reported_split import splits_in_worker
from service.spec.datasets.text import LanguageBase
from service.spec.experiment import Experiment
from worker.trainer.augment.augment import Augment
from worker.trainer.build import build_model, build_optimizers, check_batch_norm
from worker.trainer.data.balance import balance_loss, balanced_weights
from worker.trainer.data.batches import Batches
from worker.trainer.data.dataset_folders import NO_FOLDERS, DatasetFolders
from worker.trainer.data.language import split_language
from worker.trainer.data.row_shares import draw_shares
from worker.trainer.data.split import Splits, split_dataset
from worker.trainer.metrics import Metrics
from worker.trainer.metrics.metric_set import MetricSet
from worker.trainer.numerics import set_numerics
from worker.trainer.optim.fast_step import fast_step
from worker.trainer.optim.load_state import load_optimizer
from worker.trainer.optim.schedule_free import eval_weights, train_mode
from worker.trainer.probes.runner import ProbeRunner
from worker.trainer.start_weights import load_start
from worker.trainer.step.evaluation import Validation, build_criterion, to_device
from worker.trainer.step.gradients import Gradients
from worker.trainer.step.learning_rates import LearningRates
from worker.trainer.step.pipeline import StepPipeline
from worker.trainer.step.unfreezing import Unfreezing


class Step(NamedTuple):
    """The result of one update."""

    step: int  # counts from 1
    lr: float
    loss: Tensor  # batch mean before the update, detached, still on the device
    metrics: Metrics | None  # series that have no value at most steps


class Training:
    """The state of one run after `step` updates."""

    def __init__(
        self, spec: Experiment, seed: int, device: torch.device, files: DatasetFolders, splits: Splits | None = None
    ) -> None:
        splits = splits or read_splits(spec, seed, files)
        self.scales = {name: scale.as_json() for name, scale in splits.scales.items()}
        self.preparation = None if splits.preparation is None else splits.preparation.as_json()
        self.target = None if splits.target is None else splits.target.as_json()
        self.coarse, self.codec = splits.coarse, splits.codec
        self.row_facts: dict[str, Any] = {}
        self.spec, self.seed, self.device, self.step = spec, seed, device, 0
        self.files = files
        reported = splits_in_worker(spec.dataset)  # others' numbers are not kept: 8 bytes a row
        self.row_numbers = [part.numbers for part in splits[:3] if reported and part.numbers is not None]
        self.model: nn.Module = build_model(spec)
        load_start(self.model, spec, files)
        self.model.to(device)
        if spec.layout is None:
            check_batch_norm(spec, self.model)
        loss = balance_loss(spec.loss, splits.train.y, spec.dataset.facts.classes)
        self.class_weights = balanced_weights(spec.loss, loss)
        self.criterion: nn.Module = build_criterion(spec, device, loss)
        self.optimizers = build_optimizers(spec, self.model, device)
        self.evaluations = 0  # gradients computed so far by an optimizer that needs several per update
        shares = draw_shares(spec, splits.train, files)
        self.augment = augment = Augment.of(spec, splits.scales.get("features"), seed, device)
        self.batches = Batches.of(spec, *to_device(splits.train, spec.loss, device, augment), seed, shares, augment)
        self.rates = LearningRates(spec, self.optimizers)
        self.unfreezing = Unfreezing(self.rates)
        self.pipeline = StepPipeline(spec, self.model, self.criterion, self.optimizers, self.batches, device)
        self.optimizer_steps = [fast_step(optimizer) for optimizer in self.optimizers]
        self.metrics = MetricSet.of(spec, splits.scales, device, splits.target)
        self.validation = Validation.of(spec, splits.validation, device, metrics=self.metrics)
        self.reporting = MetricSet(spec, splits.scales, device, splits.target)  # of predictions
        self.training_part = Validation.of_training(spec, self.batches, self.metrics)
        self.probes = ProbeRunner(spec)
        self.test = splits.test  # measured once, at the end
        self.rank = 0  # of a run on several devices, each of which has a training
        self.rank_states: Callable[[], dict[str, Tensor]] = dict  # random states of the other ranks

    @property
    def fitted(self) -> dict[str, Any]:
        """What was fitted on the training part, as stored with every checkpoint."""
        found: dict[str, Any] = {"preparation": self.preparation, "target": self.target}
        found |= {"class_weights": self.class_weights, "tokenizer": self.codec and self.codec.document}
        return {"scales": self.scales} | {name: value for name, value in found.items() if value}

    def use_eager_gradients(self) -> None:
        """Replace compiled gradients, which run no hooks; the last bits differ from then on."""
        pipeline = self.pipeline
        pipeline.gradients = Gradients(
            self.model, self.criterion, self.batches, pipeline.precision, self.spec.accumulate
        )

    @property
    def ended(self) -> dict[str, Any] | None:
        """The stop rule that ended the training early, if any."""
        return self.pipeline.stopping.ended

    def state(self) -> dict[str, Any]:
        """Return everything that later steps depend on, except random states."""
        optimizers, schedule = [each.state_dict() for each in self.optimizers], self.rates.document()
        pipeline = {"tensors": self.pipeline.tensors(), "document": self.pipeline.document()}
        parts = {"optimizers": optimizers, "schedule": schedule, "mechanics": pipeline}
        parts["loss"] = self.criterion.state_dict()
        return {"step": self.step, "model": self.model.state_dict(), "evaluations": self.evaluations} | parts

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a `state()` of the same spec and seed."""
        self.model.load_state_dict(state["model"])
        if state["loss"]:  # not in checkpoints of early releases
            self.criterion.load_state_dict(state["loss"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            load_optimizer(optimizer, saved)
        self.evaluations = state["evaluations"]
        self.rates.load(state["schedule"])
        self.pipeline.load(**state["mechanics"])
        self.step = state["step"]
        self.unfreezing.show(self.step)

    def begin_step(self, step: int) -> bool:
        """Prepare update `step`; return whether other parameters learn than in the update before."""
        if changed := self.unfreezing.begin(step):
            self.pipeline.gradients.choose_parameters()
        return changed


def read_splits(spec: Experiment, seed: int, files: DatasetFolders) -> Splits:
    """Return the parts of the dataset, scaled; runs of equal datasets and folds have equal parts."""
    if isinstance(spec.dataset, LanguageBase):
        return split_language(spec.dataset, files)
    return split_dataset(spec.dataset, files, spec.fold(seed) or 0)


def prepare(
    spec: Experiment,
    seed: int,
    device: torch.device,
    files: DatasetFolders = NO_FOLDERS,
    splits: Splits | None = None,
) -> Training:
    """Return a training at step 0, independent of earlier runs in this process; it reads `splits` unless given."""
    set_numerics(spec.precision, spec.determinism, device)
    torch.manual_seed(seed)
    return Training(spec, seed, device, files, splits)


def train(training: Training) -> Iterator[Step]:
    """Train to the last step, yielding one `Step` per update; to stop, stop iterating."""
    with training.batches.reading_ahead(training.spec.total_steps):
        yield from _train(training)


def _train(training: Training) -> Iterator[Step]:
    begin_training(training)
    for step in range(training.step + 1, training.spec.total_steps + 1):
        if training.ended:
            return
        yield make_step(training, step)


def begin_training(training: Training) -> None:
    """Prepare the model, the optimizers, the probes and the stop rules for the steps that follow."""
    training.model.train()
    train_mode(training.optimizers)
    training.begin_step(training.step + 1)
    training.probes.begin(training)
    training.pipeline.stopping.begin()


def make_step(training: Training, step: int) -> Step:
    """Make update `step`, the next one; with what is due at it: probes, an evaluation, a changed set of parameters."""
    rates, pipeline, probes = training.rates, training.pipeline, training.probes
    update = step - pipeline.precision.skipped  # schedules count updates that changed the weights
    if training.begin_step(step):
        probes.choose_layers(training)
    lr = rates.apply(update)
    if probed := step == probes.next_step:
        probes.before_forward(training, step)

    if training.spec.optimizer.needs_closure:
        (loss, metrics), finite = search(training, step), True
    else:
        loss, metrics, finite = descend(training, step, probed)

    if finite and pipeline.average is not None:
        pipeline.average.update(step, training.model)
    training.step = step
    if probed:
        metrics = probes.after_update(training, step, finite) | metrics
    if rates.differ:
        metrics |= rates.metrics(step)
    pipeline.stopping.after_step(step, metrics)
    if evaluation_due(training):
        metrics |= evaluate(training, update, loss)
    return Step(step, lr, loss, metrics or None)


def descend(training: Training, step: int, probed: bool) -> tuple[Tensor, Metrics, bool]:
    """Make an update along the gradient; return the loss before it, its norm where known, and whether it was finite."""
    pipeline = training.pipeline
    loss = pipeline.gradients.compute(step)
    finite = pipeline.precision.unscale(training.optimizers)
    if probed:
        training.probes.after_backward(training, step)
    metrics = pipeline.clipping.apply(finite)
    if finite:
        for optimizer_step in training.optimizer_steps:
            optimizer_step()
    return loss, metrics, finite


def evaluation_due(training: Training) -> bool:
    """Whether the validation part is measured after the step that was just made."""
    return training.step % training.spec.evaluation_every == 0 or is_over(training)


def is_over(training: Training) -> bool:
    """Whether no step follows."""
    return training.step == training.spec.total_steps or bool(training.ended)


def evaluate(training: Training, update: int, loss: Tensor | float, measured: Metrics | None = None) -> Metrics:
    """Measure the validation split, unless `measured` has it, and the test split once the training has ended."""
    step, pipeline = training.step, training.pipeline
    with eval_weights(training.optimizers):
        metrics = pipeline.measured_so_far(step) | (
            pipeline.measure(training.validation, training.training_part) if measured is None else measured
        )
        metrics |= training.probes.after_evaluation(training, step)
    training.rates.observe(update, metrics)
    pipeline.stopping.after_evaluation(step, metrics | {"loss": loss})
    if is_over(training):
        with eval_weights(training.optimizers):
            metrics |= pipeline.measure_test(training.spec, training.test, training.metrics)
    return metrics


def evaluate_start(training: Training) -> Metrics:
    """Measure the parts of the evaluations before the first update of a run whose spec asks for it."""
    if training.step or not training.spec.evaluate.start:
        return {}
    parts = [part for part in (training.validation, training.training_part) if part is not None]
    return {k: v for part in parts for k, v in part.measure(training.model, training.criterion).items()}


def search(training: Training, step: int) -> tuple[Tensor, Metrics]:
    """Make an update by an optimizer that evaluates gradients itself, each clipped; return the first loss and norm."""
    gradients, clipping = training.pipeline.gradients, training.pipeline.clipping
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
