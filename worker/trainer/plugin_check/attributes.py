"""State that a checkpoint does not hold: attributes of a module or optimizer that change while it trains."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from worker.trainer.loop import Training

SAVED = {*vars(nn.Module()), "state", "param_groups", "defaults"}  # in state_dict(), or torch's own

Holder = nn.Module | Optimizer


def changed_attributes(before: Training, after: Training) -> list[str]:
    """Return what a checkpoint should hold and does not, as "Class.attribute", of two trainings of one spec."""
    pairs: list[tuple[Holder, Holder]] = [
        *zip(before.model.modules(), after.model.modules(), strict=True),
        *zip(before.criterion.modules(), after.criterion.modules(), strict=True),
        *zip(before.optimizers, after.optimizers, strict=True),
    ]
    found = [
        f"{type(old).__name__}.{name}"
        for old, new in pairs
        for name, value in _values(new)
        if not _equal(dict(_values(old)).get(name), value)
    ]
    return list(dict.fromkeys(found))


def _values(part: Holder) -> Iterator[tuple[str, Any]]:
    """Yield attributes that state_dict() leaves out."""
    yield from ((name, value) for name, value in vars(part).items() if name not in SAVED)
    if isinstance(part, nn.Module):
        left_out = part._non_persistent_buffers_set
        yield from ((name, value) for name, value in part._buffers.items() if name in left_out)


def _equal(one: Any, other: Any) -> bool:
    """Whether two values are equal; what cannot be compared, as objects of other classes, counts as equal."""
    if isinstance(one, torch.Generator) and isinstance(other, torch.Generator):
        return torch.equal(one.get_state(), other.get_state())
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.shape == other.shape and torch.equal(one, other)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    plain = (bool, int, float, str, Tensor, dict, set, type(None), list, tuple, np.ndarray)
    if not (isinstance(one, plain) and isinstance(other, plain)):
        return True
    try:
        return bool(one == other)
    except (RuntimeError, ValueError):  # a dict of tensors
        return repr(one) == repr(other)
