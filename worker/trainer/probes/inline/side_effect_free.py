"""Forward passes on the run's own model that leave no trace: no random number, no statistic, no gradient."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from worker.trainer.data.batches import Batch, Batches
from worker.trainer.data.memory_mapped import MappedRows, Table

ROWS = 2048
BYTES = 16 * 2**20  # of the rows' x: fewer rows where they are large
LEAST = 16


@contextmanager
def still(model: nn.Module, batch_statistics: bool) -> Iterator[None]:
    """Dropout is off; batch normalisation uses its own statistics or the batch's, and learns from neither."""
    modes = {module: module.training for module in model.modules()}
    norms = [module for module in modes if isinstance(module, _BatchNorm) and module.track_running_stats]
    devices = [p.device for p in model.parameters() if p.device.type == "cuda"][:1]
    try:
        with torch.random.fork_rng(devices), torch.no_grad():
            model.eval()
            for norm in norms if batch_statistics else ():
                norm.training, norm.track_running_stats = True, False
            yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
        for module, mode in modes.items():
            module.training = mode


def has_batch_norm(model: nn.Module) -> bool:
    """Whether its two modes can differ."""
    return any(isinstance(module, _BatchNorm) and module.track_running_stats for module in model.modules())


def rows(batches: Batches) -> Batch:
    """The first rows of the training part in an order of their own, which nothing else draws from."""
    n = len(batches.x)
    size = batches.x[:1].numel() * 4 if n else 1
    most = min(n, ROWS, max(LEAST, BYTES // max(size, 1)))
    generator = torch.Generator().manual_seed(0)
    index = torch.randperm(n, generator=generator)[:most].sort().values
    return _at(batches.x, index), _at(batches.y, index)


def _at(table: Table, index: Tensor) -> Tensor:
    return table.index_select(0, index if isinstance(table, MappedRows) else index.to(table.device))
