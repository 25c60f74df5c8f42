"""Schedule-free optimizers, whose training and evaluation weights differ; they have `train` and `eval`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim import Optimizer


def train_mode(optimizers: Sequence[Optimizer]) -> None:
    """Switch the model to the weights at which gradients are computed."""
    for optimizer in optimizers:
        if hasattr(optimizer, "train"):
            optimizer.train()


@contextmanager
def eval_weights(optimizers: Sequence[Optimizer]) -> Iterator[None]:
    """Switch the model to the evaluation weights inside, and restore the training weights to the last bit.

    The optimizers' own way back recomputes the weights and misses the last bit, so measuring would change the run.
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
