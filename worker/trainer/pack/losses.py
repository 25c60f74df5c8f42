"""The loss of every member: torch's losses take members as rows, ours are batched by `torch.func.vmap`."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vmap

from worker.trainer.pack.batches import PackedBatch

VECTOR = 16  # single-precision numbers of a vector


def losses_of_members(criterion: nn.Module, outputs: Tensor, batch: PackedBatch) -> Tensor:
    """Return each member's mean loss (R,) of outputs (R, B, ...).

    Of a loss with a vmap of torch's own, torch would import 3 s of symbolic shapes. A softmax over fewer classes than a
    vector of the processor holds is not vectorised unless rows lie side by side.
    """
    inner = getattr(criterion, "criterion", criterion)
    if not hasattr(inner, "reduction"):
        found: Tensor = vmap(criterion, in_dims=(0, None if batch.shared else 0))(outputs, batch.y)
        return found
    y = batch.y.expand(len(outputs), *batch.y.shape) if batch.shared else batch.y
    if isinstance(inner, nn.CrossEntropyLoss) and not y.is_floating_point() and outputs.shape[-1] < VECTOR:
        rows = _loss_of_rows(inner, outputs.movedim(-1, 1), y)
    else:
        rows = _loss_of_rows(inner, outputs.flatten(0, -2), y.flatten(0, -2) if y.is_floating_point() else y.flatten())
    counts = _row_weights(inner, y)
    values = rows.view(len(outputs), -1)
    return values.mean(1) if counts is None else values.sum(1) / counts.sum(1)


def _loss_of_rows(inner: Any, outputs: Tensor, y: Tensor) -> Tensor:
    """outputs (N, K), y (N,) or (N, K) -> the loss of each row, or of each value, (N, ...)."""
    inner.reduction = "none"
    try:
        found: Tensor = inner(outputs, y)
    finally:
        inner.reduction = "mean"
    return found


def _row_weights(inner: nn.Module, y: Tensor) -> Tensor | None:
    """Return by what the rows of each member (R, N) count in its mean; None if alike, as in torch's other losses."""
    if not isinstance(inner, nn.CrossEntropyLoss | nn.NLLLoss) or y.is_floating_point():
        return None
    classes = y.flatten(1)
    counted = classes != inner.ignore_index
    return counted if inner.weight is None else inner.weight[classes.clamp(min=0)] * counted


def loss_terms(criteria: Sequence[nn.Module]) -> list[tuple[nn.Module, Tensor | float]]:
    """Return losses and the share (R,) of each in the members' losses, which are linear in label smoothing."""
    smoothing = [getattr(each, "label_smoothing", 0.0) for each in criteria]
    if len(set(smoothing)) == 1:
        return [(criteria[0], 1.0)]
    sharp, even = copy.deepcopy(criteria[0]), copy.deepcopy(criteria[0])
    for each, smoothed in ((sharp, 0.0), (even, 1.0)):
        vars(each)["label_smoothing"] = smoothed
    share = torch.tensor(smoothing)
    return [(sharp, 1 - share), (even, share)]
