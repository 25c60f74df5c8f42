"""Classes that weigh the same however many training rows they have: weights of the loss."""

from typing import Any

import numpy as np
import numpy.typing as npt

from service.spec.losses import LossBase
from service.spec.losses.base import BALANCED
from worker.trainer.data.memory_mapped import MappedRows

Counts = npt.NDArray[np.int64]


def class_counts(y: npt.NDArray[Any] | MappedRows, classes: int) -> Counts:
    """Return the training rows of each class; y (N,) are class numbers, which always fit in memory."""
    assert isinstance(y, np.ndarray)
    return np.bincount(y.astype(np.int64), minlength=classes)


def balance_loss(loss: LossBase, y: npt.NDArray[Any] | MappedRows, classes: int) -> LossBase:
    """Return the loss with numbers for its weights "balanced": rows / (classes * rows of the class).

    These are the weights of scikit-learn's `compute_class_weight`. A class that no training row has gets 1.
    """
    if getattr(loss, "weight", None) == BALANCED:
        counts = class_counts(y, classes)
        weights = np.where(counts > 0, counts.sum() / ((counts > 0).sum() * np.maximum(counts, 1)), 1.0)
        return loss.model_copy(update={"weight": tuple(weights.tolist())})
    if getattr(loss, "pos_weight", None) == BALANCED:
        none, one = class_counts(y, 2).tolist()
        return loss.model_copy(update={"pos_weight": none / one if none and one else 1.0})
    return loss


def balanced_weights(given: LossBase, balanced: LossBase) -> dict[str, Any] | None:
    """Return the weights that were counted, as stored with the run; None if the spec gives them, or none."""
    names = [name for name in ("weight", "pos_weight") if getattr(given, name, None) == BALANCED]
    return {name: getattr(balanced, name) for name in names} or None
