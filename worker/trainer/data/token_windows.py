"""Windows of a sequence of tokens: rows that a language model is trained on, cut when they are read."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from service.errors import RunFailure
from worker.trainer.data.memory_mapped import CPU, DeviceScale, Indices, MappedRows, PackedRows, RowTensor

RESIDENT_ITEM_BYTES = 4  # of a token in the memory of a device


class TokenArray:
    """Tokens (n,) of one part, on disk, or in the memory of a device: there once for inputs and targets."""

    def __init__(self, values: npt.NDArray[Any], vocabulary: int, resident_bytes: int) -> None:
        self.values, self.vocabulary = values, vocabulary
        self.on_disk = isinstance(values, np.memmap) and len(values) * RESIDENT_ITEM_BYTES > resident_bytes
        if not self.on_disk:
            self.check(values)
        self._resident: dict[torch.device, Tensor] = {}

    def check(self, tokens: npt.NDArray[Any]) -> None:
        """Raise `RunFailure` for a token that is not of the vocabulary; a GPU would report it late and vaguely."""
        if tokens.size and not 0 <= int(tokens.min()) <= (largest := int(tokens.max())) < self.vocabulary:
            detail = f"there is a token {largest}, and the {self.vocabulary} tokens are 0..{self.vocabulary - 1}"
            fix = f"/dataset/vocabulary must be {largest + 1} at least, or the files are of another tokenizer"
            raise RunFailure("spec_cannot_build", f"{detail}: {fix}")

    def on(self, device: torch.device) -> Tensor:
        """Return the tokens (n,) int32 on a device."""
        if device not in self._resident:
            self._resident[device] = torch.from_numpy(self.values.astype(np.int32)).to(device)
        return self._resident[device]


class MappedWindows(MappedRows):
    """Windows (N, context) of an array of tokens, side by side, as int64; on disk they are read when needed.

    `shift` is 0 for inputs and 1 for targets, the next tokens.
    """

    def __init__(self, tokens: TokenArray, count: int, context: int, shift: int, device: torch.device = CPU) -> None:
        super().__init__(tokens.values, np.arange(count, dtype=np.int64) * context + shift, None, device)
        self.tokens, self.context, self.shift = tokens, context, shift
        self.shape = torch.Size((count, context))

    @property
    def choices(self) -> int:
        """The number of tokens at which a window can begin, so that a token follows it."""
        return len(self.source) - self.context

    def raw(self, chosen: slice | Indices) -> npt.NDArray[Any]:
        """Return some windows as stored."""
        return self._at(self.rows[chosen])

    def fetch_windows(self, first: Indices) -> Tensor:
        """Read the windows that begin at these tokens, on the host: as `receive` takes them."""
        return self.on_host(self._at(first + self.shift))

    def windows(self, first: Tensor) -> Tensor:
        """Return the windows that begin at these tokens, on the device."""
        return self.receive(self.fetch_windows(first.cpu().numpy()))

    def _at(self, starts: Indices) -> npt.NDArray[Any]:
        found = np.asarray(self.source[starts[:, None] + np.arange(self.context)])
        if self.tokens.on_disk:
            self.tokens.check(found)
        return found

    def to(self, device: torch.device) -> RowTensor:
        """Return the same windows for `device`: of tokens in its memory, unless they stay on disk."""
        if self.tokens.on_disk:
            return MappedWindows(self.tokens, len(self), self.context, self.shift, device)
        starts = torch.from_numpy(self.rows).to(device)
        return ResidentWindows(self.tokens.on(device), starts, self.context, self.shift)


class ResidentWindows(PackedRows):
    """Windows (N, context) of tokens on a device, as int64; `starts` include the shift."""

    def __init__(self, tokens: Tensor, starts: Tensor, context: int, shift: int) -> None:
        super().__init__(tokens, DeviceScale(None, tokens.device))
        self.starts, self.offsets, self.shift = starts, torch.arange(context, device=tokens.device), shift
        self.shape = torch.Size((len(starts), context))

    @property
    def choices(self) -> int:
        """The number of tokens at which a window can begin, so that a token follows it."""
        return len(self.packed) - len(self.offsets)

    def windows(self, first: Tensor) -> Tensor:
        """Return the windows that begin at these tokens."""
        return self._at(first + self.shift)

    def __len__(self) -> int:
        return len(self.starts)

    def dim(self) -> int:
        """Return 2: windows and their tokens."""
        return 2

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Return the windows with these numbers, in order."""
        return self._at(self.starts.index_select(dim, index))

    def split(self, size: int) -> Iterator[Tensor]:
        """Yield all windows in order, `size` at a time."""
        return map(self._at, torch.split(self.starts, size))

    def __getitem__(self, chosen: slice) -> Tensor:
        return self._at(self.starts[chosen])

    def _at(self, starts: Tensor) -> Tensor:
        return self.packed[starts[:, None] + self.offsets].long()
