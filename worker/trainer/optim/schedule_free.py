"""Optimizers whose weights to train and to measure differ: the schedule-free ones, which have `train` and `eval`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim import Optimizer


def train_mode(optimizers: Sequence[Optimizer]) -> None:
    """Have every one of them hold the weights that gradients are computed at."""
    for optimizer in optimizers:
        if hasattr(optimizer, "train"):
            optimizer.train()


@contextmanager
def eval_weights(optimizers: Sequence[Optimizer]) -> Iterator[None]:
    """Have the model hold the weights to be measured, and afterwards those to be trained, to the last bit.

    Their own way back computes the weights anew and misses the last bit, so that measuring would change the run.
    """
    switched = [optimizer for optimizer in optimizers if hasattr(optimizer, "eval")]
    if not switched:
        yield
        return
    kept = [(p, p.detach().clone()) for p in _parameters(switched)]
    for optimizer in switched:
        optimizer.eval()
    try:
        yield
    finally:
        with torch.no_grad():
            for p, value in kept:
                p.copy_(value)
        for group in (group for optimizer in switched for group in optimizer.param_groups):
            group["train_mode"] = True


def _parameters(optimizers: Sequence[Optimizer]) -> list[Tensor]:
    return [p for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
