"""How the rows of the training and of the validation part differ: what no model that learns the one can know."""

from typing import Any

import torch
from torch import Tensor

from service.spec.memory import output_numbers
from worker.trainer.data.batches import Batch
from worker.trainer.probes.inline.side_effect_free import sample_rows
from worker.trainer.probes.measurement import ProbedTraining

SHIFT = 0.5  # training deviations between the means of a feature
ERRORS = 5.0  # standard errors: smaller differences are chance
LEAST = 30  # rows of a part
MAX_CLASSES = 100
MOST_NUMBERS = 2**20  # of a part; wider rows are fewer, because nobody sees a first step before this is measured


def part_differences(training: ProbedTraining, rows: Batch) -> dict[str, Any]:
    """Return how the validation rows differ from these training rows; empty for tokens, and where a part is small.

    Of features at most a million numbers of each part are looked at, which takes 4 ms for digits and 40 for 3,072 each.

    shifted_features    share of the features whose mean lies half a deviation or more from that of the training rows
    largest_shift       the largest such difference, in deviations of the training rows
    class_shift         half of the sum of the differences of the classes' shares: 0 the same, 1 no class in common
    class_shift_noise   what chance makes of it, with so many validation rows
    telling_feature     the feature that alone tells most of the targets' variance (of classes: whose variance is most
                        between them), `told` the share of it, and `told_validation` that in the validation part
    """
    x, y = rows
    if not x.is_floating_point() or len(x) < LEAST:
        return {}
    every = _every(x)
    flat = _flat(x[::every])
    found = _telling(flat, y[::every])
    if training.validation is None or len(training.validation.x) < LEAST:
        return found
    other, answers = sample_rows(training.validation, output_numbers(training.spec))
    every = _every(other)
    other = _flat(other[::every])
    found |= _shift(flat, other) | _class_shift(y, answers)
    if (at := found.get("telling_feature")) is not None:
        shares = told_shares(other[:, at : at + 1], answers[::every])
        if len(shares):  # there may be too few rows for so many classes
            found["told_validation"] = float(shares[0])
    return found


def _every(x: Tensor) -> int:
    """Return which rows are looked at: all, or each second, third, ... of wide ones."""
    return -(-len(x) // max(LEAST, MOST_NUMBERS // max(1, x[0].numel())))


def _flat(x: Tensor) -> Tensor:
    return torch.nan_to_num(x.reshape(len(x), -1), 0.0, 0.0, 0.0).double()


def variance(rows: Tensor) -> Tensor:
    """Return the variance (F,) of each feature (N, F); torch's own, along dimension 0, takes ten times as long."""
    return (rows - rows.mean(0)).square().mean(0)


def _shift(train: Tensor, other: Tensor) -> dict[str, Any]:
    spread = variance(train).sqrt()
    known = spread > 1e-6 * train.abs().amax(0).clamp(min=1e-30)
    if not bool(known.any()):
        return {}
    apart, spread = (other.mean(0) - train.mean(0)).abs()[known], spread[known]
    error = (spread**2 / len(train) + variance(other)[known].clamp(min=spread**2 * 0.01) / len(other)).sqrt()
    shifted = (apart > SHIFT * spread) & (apart > ERRORS * error)
    largest = float((apart / spread)[shifted].max()) if bool(shifted.any()) else 0.0
    return {"shifted_features": float(shifted.double().mean()), "largest_shift": largest}


def _class_shift(y: Tensor, other: Tensor) -> dict[str, Any]:
    if y.is_floating_point() or y.dim() != 1:
        return {}
    classes = int(max(y.max(), other.max())) + 1
    if classes > MAX_CLASSES or int(min(y.min(), other.min())) < 0:
        return {}
    shares, others = (torch.bincount(each, minlength=classes).double() / len(each) for each in (y, other))
    noise = (shares * (1 - shares) / len(other)).sqrt().sum() / 2
    return {"class_shift": float((shares - others).abs().sum() / 2), "class_shift_noise": float(noise)}


def _telling(x: Tensor, y: Tensor) -> dict[str, Any]:
    shares = told_shares(x, y)
    if not len(shares):
        return {}
    at = int(shares.argmax())
    return {"telling_feature": at, "told": float(shares[at])}


def told_shares(flat: Tensor, y: Tensor) -> Tensor:
    """Return the share of variance (F,) that each feature (N, F) has in common with the targets y.

    Of classes it is that of the feature between them (eta squared), of numbers the squared correlation. Empty where
    the targets are neither, or there are fewer than ten rows for each class.
    """
    centred = flat - flat.mean(0)
    whole = centred.square().sum(0)
    if y.is_floating_point():
        if y.dim() > 2 or (y.dim() == 2 and y.shape[1] != 1):
            return torch.zeros(0)
        target = y.reshape(-1).double()
        target = target - target.mean()
        scale = target.square().sum()
        common = (centred * target[:, None]).sum(0).square() / scale.clamp(min=1e-30)
    else:
        classes = int(y.max()) + 1 if y.dim() == 1 and len(y) and int(y.min()) >= 0 else 0
        if not 0 < classes <= MAX_CLASSES or len(y) < 10 * classes:
            return torch.zeros(0)
        counts = torch.bincount(y, minlength=classes).double()
        sums = torch.zeros(classes, flat.shape[1], dtype=torch.double, device=flat.device).index_add(0, y, centred)
        common = (sums.square() / counts.clamp(min=1)[:, None]).sum(0)
    return torch.where(whole > 0, common / whole.clamp(min=1e-30), torch.zeros_like(whole))
