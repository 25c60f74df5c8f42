"""Forward passes on the run's own model without side effects: no random number, statistic or gradient changes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from worker.trainer.data.batches import Batch
from worker.trainer.data.memory_mapped import MappedRows, RowTensor
from worker.trainer.models.norms import with_changing_statistics

MAX_ROWS = 2048
MAX_BYTES = 16 * 2**20  # of the rows' x: fewer rows where they are large
MAX_OUTPUT_BYTES = 64 * 2**20
MIN_ROWS = 16


@contextmanager
def side_effect_free_forward(model: nn.Module, batch_statistics: bool) -> Iterator[None]:
    """Turn dropout off and freeze batch normalisation, which uses its running statistics or the batch's."""
    modes = {module: module.training for module in model.modules()}
    norms = with_changing_statistics(model)
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
    """Whether the model normalises by the batch's statistics in training, and by running ones in evaluation."""
    return bool(with_changing_statistics(model))


class HasRows(Protocol):
    """A part of the data: x (N, *shape) and y (N, ...)."""

    x: RowTensor
    y: RowTensor


def sample_rows(batches: HasRows, outputs: int) -> Batch:
    """Return up to `MAX_ROWS` rows, each with so many outputs, drawn by a generator of its own."""
    n = len(batches.x)
    size = batches.x[:1].numel() * 4 if n else 1
    fitting = min(MAX_BYTES // max(size, 1), MAX_OUTPUT_BYTES // max(4 * outputs, 1))
    most = min(n, MAX_ROWS, max(MIN_ROWS, fitting))
    generator = torch.Generator().manual_seed(0)
    index = torch.randperm(n, generator=generator)[:most].sort().values
    return _select(batches.x, index), _select(batches.y, index)


def _select(table: RowTensor, index: Tensor) -> Tensor:
    return table.index_select(0, index if isinstance(table, MappedRows) else index.to(table.device))
