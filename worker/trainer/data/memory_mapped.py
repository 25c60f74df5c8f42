"""Memory-mapped rows, read, scaled and converted batch by batch, with the interface of a tensor."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.trainer.data.scaling import Scale

Indices = npt.NDArray[np.intp]


class MappedRows:
    """Rows (N, *shape) of a memory-mapped array: floats as float32, scaled or not, integers as int64."""

    def __init__(
        self,
        source: npt.NDArray[Any],
        rows: Indices,
        scale: Scale | None = None,
        device: torch.device = torch.device("cpu"),  # noqa: B008  an immutable value
    ) -> None:
        self.source, self.rows, self.scale, self.device = source, rows, scale, device
        self.shape = torch.Size((len(rows), *source.shape[1:]))

    def __len__(self) -> int:
        return len(self.rows)

    def dim(self) -> int:
        """Return the number of dimensions, including that of the rows."""
        return len(self.shape)

    def raw(self, chosen: slice | Indices) -> npt.NDArray[Any]:
        """Return some rows as stored."""
        return np.asarray(self.source[self.rows[chosen]])

    def scaled(self, scale: Scale) -> "MappedRows":
        """Return the same rows, scaled when read."""
        return MappedRows(self.source, self.rows, scale, self.device)

    def to(self, device: torch.device) -> "MappedRows":
        """Return the same rows, read onto `device`."""
        return MappedRows(self.source, self.rows, self.scale, device)

    def read(self, chosen: slice | Indices) -> Tensor:
        """Return some rows on the device."""
        rows = self.raw(chosen)
        if self.scale is not None:
            rows = self.scale.apply(rows)
        tensor = torch.from_numpy(rows)
        return tensor.to(self.device, torch.float32 if tensor.is_floating_point() else torch.int64)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the rows with these numbers, in order; `dim` must be 0."""
        if dim != 0:
            raise ValueError("rows are selected along dimension 0")
        return self.read(index.cpu().numpy())

    def split(self, size: int) -> Iterator[Tensor]:
        """Yield all rows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.read(slice(start, start + size))

    def __getitem__(self, chosen: slice) -> Tensor:
        return self.read(chosen)


RowTensor = Tensor | MappedRows
