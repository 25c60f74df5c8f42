"""Rows that stay on disk: read, scaled and made tensors batch by batch, answering to the calls that batches make."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.trainer.data.scaling import Scale

Indices = npt.NDArray[np.intp]


class MappedRows:
    """(N, *shape) rows of a memory-mapped array: floats as float32, scaled or not, whole numbers as int64."""

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
        """Dimensions, the rows' own included."""
        return len(self.shape)

    def raw(self, chosen: slice | Indices) -> npt.NDArray[Any]:
        """Some rows as they are stored."""
        return np.asarray(self.source[self.rows[chosen]])

    def scaled(self, scale: Scale) -> "MappedRows":
        """The same rows, to be scaled when they are read."""
        return MappedRows(self.source, self.rows, scale, self.device)

    def to(self, device: torch.device) -> "MappedRows":
        """The same rows, to be read onto `device`."""
        return MappedRows(self.source, self.rows, self.scale, device)

    def read(self, chosen: slice | Indices) -> Tensor:
        """Some rows on the device."""
        rows = self.raw(chosen)
        if self.scale is not None:
            rows = self.scale.apply(rows)
        tensor = torch.from_numpy(rows)
        return tensor.to(self.device, torch.float32 if tensor.is_floating_point() else torch.int64)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """The rows of these numbers, in their order; `dim` is 0, the rows'."""
        if dim != 0:
            raise ValueError("rows are selected along dimension 0")
        return self.read(index.cpu().numpy())

    def split(self, size: int) -> Iterator[Tensor]:
        """All rows in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.read(slice(start, start + size))

    def __getitem__(self, chosen: slice) -> Tensor:
        return self.read(chosen)


Table = Tensor | MappedRows
