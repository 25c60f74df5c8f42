"""What makes a training one rank's: its gradients, its batch normalisations, and its stream of random numbers."""

import hashlib
from collections.abc import Iterable

import torch
from torch import Tensor

from worker.trainer.loop import Training
from worker.trainer.ranks.batch_norm import normalise_over_ranks
from worker.trainer.ranks.gradients import RankGradients
from worker.trainer.ranks.group import Group


def divide(training: Training, group: Group) -> RankGradients:
    """Divide the batches of `training` over the ranks; every rank calls this, in the state that it continues from."""
    has_batch_norm = normalise_over_ranks(training.model)
    gradients = RankGradients(training.pipeline.gradients, group, has_batch_norm)
    training.pipeline.gradients = gradients
    with torch.no_grad():
        group.copy_from_first([*training.model.state_dict().values()])
    return gradients


def stream_seed(seed: int, rank: int) -> int:
    """Return the seed of a rank's random numbers, such as dropout's; rank 0 draws what one device draws."""
    digest = hashlib.sha256(f"rank:{seed}:{rank}".encode()).digest()
    return seed if rank == 0 else int.from_bytes(digest[:8], "big") >> 1


def state_tensors(training: Training) -> list[Tensor]:
    """Return what must be the same on every rank: parameters and buffers of the model and of the loss."""
    return [*training.model.state_dict().values(), *training.criterion.state_dict().values()]


def digest(tensors: Iterable[Tensor]) -> int:
    """Return a number that differs if a bit of the tensors differs; computed on their device."""
    found = 0
    for tensor in tensors:
        whole = tensor.detach().contiguous().reshape(-1)
        words = whole.view(torch.int32 if whole.element_size() % 4 == 0 else torch.uint8)
        found = (31 * found + int(words.sum(dtype=torch.int64))) % 2**63
    return found
