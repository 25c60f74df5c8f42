"""The stages of a training step that a spec configures, and their state."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from service.spec.experiment import Experiment
from worker.trainer.data.batches import Batches
from worker.trainer.data.split import Split
from worker.trainer.metrics import Metrics
from worker.trainer.metrics.metric_set import MetricSet
from worker.trainer.step.clipping import Clipping
from worker.trainer.step.evaluation import Validation
from worker.trainer.step.gradients import Gradients
from worker.trainer.step.precision import Precision
from worker.trainer.step.stopping import Stopping
from worker.trainer.step.weight_averaging import build_weight_average


class StepPipeline:
    """Gradients, clipping, precision, averaged weights and stop rules of one run."""

    def __init__(
        self,
        spec: Experiment,
        model: nn.Module,
        criterion: nn.Module,
        optimizers: Sequence[Optimizer],
        batches: Batches,
        device: torch.device,
    ) -> None:
        self.precision = Precision(spec.precision, device)
        self.precision.check_supported(model, batches.x)
        self.gradients = build_gradients(spec, model, criterion, batches, self.precision)
        self.stopping = Stopping(spec.stop)
        self.clipping = Clipping(spec.clip, list(model.parameters()), device, self.stopping.needs_norm)
        self.average = build_weight_average(spec, model, optimizers, batches.x)
        self.model, self.criterion, self.device = model, criterion, device

    def measured_so_far(self, step: int) -> Metrics:
        """Return what evaluations record of the steps so far: the share that was clipped, and skipped updates."""
        return self.clipping.share(step - self.precision.skipped) | self.precision.metrics()

    def measure(self, validation: Validation | None, training_part: Validation | None = None) -> Metrics:
        """Return the metrics of an evaluation; of averaged weights on the validation part only."""
        measured: Metrics = {}
        if validation is not None:
            measured |= validation.measure(self.model, self.criterion)
            if self.average is not None:
                measured |= self.average.measure(validation, self.criterion)
        if training_part is not None:
            measured |= training_part.measure(self.model, self.criterion)
        return measured

    def measure_test(self, spec: Experiment, test: Split, metrics: MetricSet | None = None) -> Metrics:
        """Return test/loss, test/accuracy and metrics, also of the averaged weights, at the end of a run."""
        part = None
        if spec.dataset.facts.task != "objective":
            part = Validation.of(spec, test, self.device, "test", metrics)
        if part is None:
            return {}
        measured = part.measure(self.model, self.criterion)
        return measured | (self.average.measure(part, self.criterion) if self.average is not None else {})

    def tensors(self) -> dict[str, Tensor]:
        """Return the state's tensors."""
        found = {f"average/{name}": value for name, value in self.average.state().items()} if self.average else {}
        return found | {"clipped": self.clipping.clipped}

    def document(self) -> dict[str, Any]:
        """Return the rest of the state as JSON."""
        return {"precision": self.precision.document(), "stopping": self.stopping.document()}

    def load(self, tensors: dict[str, Tensor], document: dict[str, Any] | None) -> None:
        """Restore the state; `document` is None in checkpoints of early releases."""
        if document is None:
            return
        if self.average is not None:
            prefix = "average/"
            self.average.load({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        self.clipping.clipped.copy_(tensors["clipped"])
        self.precision.load(document["precision"])
        self.stopping.load(document["stopping"])


def build_gradients(
    spec: Experiment, model: nn.Module, criterion: nn.Module, batches: Batches, precision: Precision
) -> Gradients:
    """Return a run's gradients; the compiler is imported only when needed, because it takes a second."""
    if not spec.compile:
        return Gradients(model, criterion, batches, precision, spec.accumulate)
    from worker.trainer.step.compiled import CompiledGradients  # noqa: PLC0415

    return CompiledGradients(model, criterion, batches, precision)
