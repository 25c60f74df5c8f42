"""The metrics of a run: accumulated over the batches of an evaluation, outside autocast."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from service.spec.experiment import Experiment
from service.spec.metrics import MetricBase
from worker.trainer.build import build, resolve
from worker.trainer.data.scaling import Scale
from worker.trainer.metrics import Metrics
from worker.trainer.prepare.target import TargetTransform


class Accumulator(Protocol):
    """The interface of a metric's target, which is torchmetrics' too."""

    def update(self, outputs: Tensor, targets: Tensor, /) -> None:
        """Add a batch."""

    def compute(self) -> Tensor | float:
        """Return the value, or one for each name."""


class MetricSet:
    """A spec's metrics, and how a batch's outputs become what they take."""

    def __init__(
        self,
        spec: Experiment,
        scales: Mapping[str, Scale],
        device: torch.device,
        transform: TargetTransform | None = None,
    ) -> None:
        self.transform = transform
        self.spec, self.device, facts = spec, device, spec.dataset.facts
        self.classes = facts.classes or facts.vocabulary
        self.names = [metric.names(facts.answers) for metric in spec.metrics]
        scale = scales.get("target")
        self.scale = [torch.from_numpy(each).to(device) for each in (scale.divisor, scale.shift)] if scale else []
        for metric in spec.metrics:
            resolve(metric.target)  # a missing package is told at the start

    @classmethod
    def of(
        cls,
        spec: Experiment,
        scales: Mapping[str, Scale],
        device: torch.device,
        transform: TargetTransform | None = None,
    ) -> "MetricSet | None":
        """Return None if the spec has no metrics."""
        return cls(spec, scales, device, transform) if spec.metrics else None

    def begin(self) -> "Measurement":
        """Return new accumulators."""
        return Measurement(self, [self._build(metric) for metric in self.spec.metrics])

    def _build(self, metric: MetricBase) -> Accumulator:
        with self.device:  # where its tensors are made
            made: Accumulator = build(metric, *([self.classes] if metric.takes_classes else []))
        return made.to(self.device) if isinstance(made, nn.Module) else made

    def convert(self, outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores and labels, or predictions and targets in the target's unit."""
        if self.classes:
            return class_scores(outputs, y)
        return self._unscaled(predicted_values(self.spec, outputs)), self._unscaled(y.reshape(len(y), -1))

    def _unscaled(self, values: Tensor) -> Tensor:
        values = values.double()
        unscaled = torch.addcmul(self.scale[1], values, self.scale[0]) if self.scale else values
        return unscaled if self.transform is None else self.transform.invert(unscaled)


class Measurement:
    """One evaluation of a part."""

    def __init__(self, metrics: MetricSet, accumulators: list[Accumulator]) -> None:
        self.metrics, self.accumulators = metrics, accumulators

    def update(self, outputs: Tensor, y: Tensor) -> None:
        """Add a batch: the model's outputs, and targets as the loss takes them."""
        with torch.autocast(outputs.device.type, enabled=False):
            batch = self.metrics.convert(outputs, y)
            for metric, accumulator in zip(self.metrics.spec.metrics, self.accumulators, strict=True):
                versions = [each._version for each in batch]
                accumulator.update(*batch)
                if versions != [each._version for each in batch]:
                    detail = "update() changes its outputs or targets in place, which other metrics take too"
                    raise ValueError(f"the metric {metric.kind}: {detail}: change a copy")

    def compute(self, part: str) -> Metrics:
        """Return the values by series; tensors on the device."""
        found: Metrics = {}
        each = zip(self.metrics.spec.metrics, self.metrics.names, self.accumulators, strict=True)
        for metric, names, accumulator in each:
            values = self._values(metric.kind, accumulator.compute(), len(names))
            found |= {f"{part}/{name}": value for name, value in zip(names, values, strict=True)}
        return found

    def _values(self, kind: str, computed: object, count: int) -> tuple[Tensor, ...]:
        """Return what a metric computed as tensors; raise `ValueError` unless it is a number for each of its names."""
        try:
            values = torch.as_tensor(computed, device=self.metrics.device).reshape(-1)
        except (TypeError, ValueError, RuntimeError) as error:
            found = type(computed).__name__
            raise ValueError(f"the metric {kind}: compute() returns {found}: needed is a number or a tensor") from error
        if len(values) != count:
            raise ValueError(f"the metric {kind}: compute() returns {len(values)} values for its {count} names")
        return values.unbind()


def class_scores(outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return scores (N, K) and labels (N,); one logit stands for two classes, and positions of a language for rows."""
    scores = outputs.flatten(0, -2)
    scores = scores if scores.dtype == torch.float64 else scores.float()
    if scores.shape[1] == 1:
        return torch.cat([torch.zeros_like(scores), scores], 1), y.flatten().long()
    return scores, (y.argmax(-1) if y.is_floating_point() else y).flatten()


def predicted_values(spec: Experiment, outputs: Tensor) -> Tensor:
    """Return what the loss takes as the prediction: the mean of a likelihood, else the outputs."""
    if spec.loss.count_data:
        return outputs.double().exp()
    return outputs[:, : outputs.shape[1] // spec.loss.outputs_per_value]
