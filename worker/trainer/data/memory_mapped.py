"""Rows as they are stored, scaled and converted batch by batch, with the interface of a tensor.

`MappedRows` are read from the disk, from bytes in memory, or from rows that would be too large for it once prepared.
`PackedRows` are bytes in a GPU's memory: an image set takes a quarter of what its numbers would. A GPU gets rows as
they are stored and scales them itself, in float64, which gives the bits that numpy gives.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from worker.trainer.data.scaling import Scale, apply_scale, pieces
from worker.trainer.numerics import float_type
from worker.trainer.prepare.preparation import Preparation

Indices = npt.NDArray[np.integer]
CPU = torch.device("cpu")


class DeviceScale:
    """A scale on a device: what `Scale.apply` computes, to the last bit."""

    def __init__(self, scale: Scale | None, device: torch.device) -> None:
        self._terms = None if scale is None else [torch.from_numpy(np.asarray(each)).to(device) for each in scale]

    def apply(self, stored: Tensor) -> Tensor:
        """Return the rows scaled and as floats; unscaled integers, other than bytes, as int64."""
        if self._terms is not None:
            shift, divisor = self._terms
            return stored.double().sub_(shift).div_(divisor).to(torch.get_default_dtype())
        return stored.to(
            torch.get_default_dtype() if stored.is_floating_point() or stored.dtype == torch.uint8 else torch.int64
        )


class MappedRows:
    """Rows (N, *shape) of a stored array: floats and bytes as floats, scaled or not, other integers as int64."""

    def __init__(
        self,
        source: npt.NDArray[Any],
        rows: Indices,
        scale: Scale | None = None,
        device: torch.device = CPU,
        preparation: Preparation | None = None,
    ) -> None:
        self.source, self.rows, self.scale, self.device = source, rows, scale, device
        self.preparation = preparation
        shape = source.shape[1:] if preparation is None else preparation.shape
        self.shape = torch.Size((len(rows), *shape))
        self._scale = DeviceScale(scale, device) if device.type != "cpu" else None

    def __len__(self) -> int:
        return len(self.rows)

    def dim(self) -> int:
        """Return the number of dimensions, including that of the rows."""
        return len(self.shape)

    def raw(self, chosen: slice | Indices) -> npt.NDArray[Any]:
        """Return some rows as stored, or prepared."""
        rows = np.asarray(self.source[self.rows[chosen]])
        return rows if self.preparation is None else self.preparation.apply(rows)

    def columns(self, chosen: range) -> npt.NDArray[Any]:
        """Return some numbers of all rows as stored, as doubles (N, len(chosen)); all of them may not fit in memory."""
        found = np.empty((len(self), len(chosen)), np.float64)
        for piece in pieces(self.source.shape, 0, len(self)):
            rows = self.source[self.rows[piece]]
            found[piece] = rows.reshape(len(rows), -1)[:, chosen.start : chosen.stop]
        return found

    def prepared(self, preparation: Preparation) -> "MappedRows":
        """Return the same rows, prepared when read."""
        return MappedRows(self.source, self.rows, self.scale, self.device, preparation)

    def scaled(self, scale: Scale) -> "MappedRows":
        """Return the same rows, scaled when read."""
        return MappedRows(self.source, self.rows, scale, self.device, self.preparation)

    def to(self, device: torch.device) -> "RowTensor":
        """Return the same rows for `device`; bytes in memory are converted on the CPU at once, and packed on a GPU."""
        if isinstance(self.source, np.memmap) or self.preparation is not None:
            return MappedRows(self.source, self.rows, self.scale, device, self.preparation)
        if device.type == "cpu":
            return self.read(slice(None))
        return PackedRows(torch.from_numpy(self.raw(slice(None))).to(device), DeviceScale(self.scale, device))

    def unconverted(self, device: torch.device, on_host: bool) -> "RowTensor":
        """Return the same bytes for `device`, which are augmented before they are converted."""
        if on_host or isinstance(self.source, np.memmap):
            return MappedRows(self.source, self.rows, self.scale, device, self.preparation)
        return self.to(device)

    def fetch(self, chosen: slice | Indices) -> Tensor:
        """Read some rows on the host, in any thread: as `receive` takes them."""
        if self.scale is None or self.device.type != "cpu" or self.preparation is not None:
            return self.on_host(self.raw(chosen))
        numbers = self.rows[chosen]
        found = np.empty((len(numbers), *self.shape[1:]), float_type())
        for piece in pieces(found.shape, 0, len(found)):  # so that not all of them are copied before they are scaled
            found[piece] = self.scale.apply(np.asarray(self.source[numbers[piece]]))
        return torch.from_numpy(found)

    def on_host(self, rows: npt.NDArray[Any]) -> Tensor:
        """Return rows as stored as `receive` takes them: pinned for a GPU, for the CPU scaled and converted."""
        if self.device.type != "cpu":
            return torch.from_numpy(rows).pin_memory()
        if self.scale is not None:
            return torch.from_numpy(apply_scale(self.scale, rows))
        to_float = rows.dtype == np.uint8 or rows.dtype.kind == "f"
        return torch.from_numpy(rows.astype(float_type() if to_float else np.int64, copy=False))

    def receive(self, fetched: Tensor) -> Tensor:
        """Return fetched rows on the device, without waiting for it."""
        return fetched if self._scale is None else self._scale.apply(fetched.to(self.device, non_blocking=True))

    def read(self, chosen: slice | Indices) -> Tensor:
        """Return some rows on the device."""
        return self.receive(self.fetch(chosen))

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


class PackedRows:
    """Rows (N, *shape) of bytes on a device, floats when read."""

    def __init__(self, packed: Tensor, scale: DeviceScale) -> None:
        self.packed, self._scale = packed, scale
        self.shape, self.device = packed.shape, packed.device

    def __len__(self) -> int:
        return len(self.packed)

    def dim(self) -> int:
        """Return the number of dimensions, including that of the rows."""
        return self.packed.dim()

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the rows with these numbers, in order."""
        return self._scale.apply(self.packed.index_select(dim, index))

    def split(self, size: int) -> Iterator[Tensor]:
        """Yield all rows in order, `size` at a time."""
        return map(self._scale.apply, torch.split(self.packed, size))

    def __getitem__(self, chosen: slice) -> Tensor:
        return self._scale.apply(self.packed[chosen])


RowTensor = Tensor | MappedRows | PackedRows
