"""The evaluation of every member on one part of the data at once."""

from collections.abc import Sequence

import torch
from torch import Tensor

from worker.trainer.loop import Training
from worker.trainer.metrics import Metrics
from worker.trainer.pack.batches import PackedBatch
from worker.trainer.pack.steps import PackedSteps
from worker.trainer.step.evaluation import ObjectivePoint, Validation, count_correct
from worker.trainer.step.losses import loss_denominator


def evaluate_members(steps: PackedSteps) -> list[Metrics]:
    """Return what `StepPipeline.measure` returns of each member."""
    found: list[Metrics] = [{} for _ in steps.trainings]
    for parts in _parts(steps.trainings):
        measured = _measure(steps, parts) if _shared(parts) else _measure_alone(steps.trainings, parts)
        for own, values in zip(found, measured, strict=True):
            own |= values
    return found


def _parts(trainings: Sequence[Training]) -> list[list[Validation]]:
    """Return the validation parts of the members, and the training parts where they are evaluated."""
    pairs = [[each.validation for each in trainings], [each.training_part for each in trainings]]
    return [[part for part in parts if part is not None] for parts in pairs if parts[0] is not None]


def _shared(parts: Sequence[Validation]) -> bool:
    """Whether all members are evaluated on the same rows, by loss and accuracy alone."""
    first = parts[0]
    simple = isinstance(first.x, Tensor) and not first.metrics and not isinstance(first, ObjectivePoint)
    return simple and all(part is first for part in parts)


def _measure_alone(trainings: Sequence[Training], parts: Sequence[Validation]) -> list[Metrics]:
    return [part.measure(each.model, each.criterion) for each, part in zip(trainings, parts, strict=True)]


@torch.no_grad()
def _measure(steps: PackedSteps, parts: Sequence[Validation]) -> list[Metrics]:
    """Return loss and accuracy of each member."""
    part, criterion = parts[0], steps.trainings[0].criterion
    weights = steps.weights()
    losses: list[Tensor] = []
    right: list[Tensor] = []
    counts: list[Tensor | int] = []
    for x, y in zip(part.x.split(part.rows), part.y.split(part.rows), strict=True):
        batch = PackedBatch(x, y, shared=True)
        outputs = steps.outputs(weights, batch)
        counts.append(loss_denominator(criterion, y))
        losses.append(steps.model.loss_of(outputs, batch) * counts[-1])
        if part.classification:
            right.append(torch.func.vmap(count_correct, in_dims=(0, None))(outputs, y))
    loss = (torch.stack(losses).sum(0) / sum(counts[1:], counts[0])).tolist()
    found: list[Metrics] = [{f"{part.name}/loss": value} for value in loss]
    if part.classification:
        share = torch.stack(right).sum(0) / (len(part.x) * part.positions)
        for own, value in zip(found, share.tolist(), strict=True):
            own[f"{part.name}/accuracy"] = value
    if part.text_bytes:
        for own, value in zip(found, loss, strict=True):
            own[f"{part.name}/bits_per_byte"] = part.bits_per_byte(value)
    return found
