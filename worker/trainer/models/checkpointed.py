"""Activation checkpointing (Chen et al. 2016, arXiv:1604.06174): the backward pass computes blocks again.

Only the input of a block is kept. The second forward pass draws the same dropout masks, and leaves the running
statistics of batch normalisations alone, so the results are those of the plain model to the last bit.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

RANDOM = (nn.modules.dropout._DropoutNd, nn.RReLU)  # layers that draw random numbers
recompute = inspect.unwrap(checkpoint)  # without the wrapper that imports torch's compiler


class CheckpointedSequential(nn.Sequential):
    """A sequence whose activations are computed again in the backward pass, `length` modules at a time."""

    length = 1

    def forward(self, x: Tensor) -> Tensor:
        """x -> the last module's output; outside of training nothing is computed twice."""
        if not (self.training and torch.is_grad_enabled()):
            y: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
            return y
        for start in range(0, len(self), self.length):
            x = self._run_block(list(self)[start : start + self.length], x)
        return x

    def _run_block(self, modules: Sequence[nn.Module], x: Tensor) -> Tensor:
        inner = [each for module in modules for each in module.modules()]
        norms = [each for each in inner if isinstance(each, _BatchNorm)]

        def run(x: Tensor) -> Tensor:
            for module in modules:
                x = module(x)
            return x

        def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
            return nullcontext(), keep_statistics(norms)

        draws = any(isinstance(each, RANDOM) for each in inner)
        y: Tensor = recompute(run, x, use_reentrant=False, preserve_rng_state=draws, context_fn=contexts)
        return y


@contextmanager
def keep_statistics(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Let the layers update copies of their running statistics inside."""
    kept = [(norm, name, buffer) for norm in norms for name, buffer in norm.named_buffers(recurse=False)]
    for norm, name, buffer in kept:
        setattr(norm, name, buffer.clone())
    try:
        yield
    finally:
        for norm, name, buffer in kept:
            setattr(norm, name, buffer)


def blocks_of(modules: Sequence[nn.Module], checkpointed: bool, length: int = 1) -> nn.Sequential:
    """Return the modules in sequence; `checkpointed` computes them again, `length` at a time."""
    if not checkpointed:
        return nn.Sequential(*modules)
    found = CheckpointedSequential(*modules)
    found.length = length
    return found
