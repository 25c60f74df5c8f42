"""Recurrent models: torch's cells over the steps of a row, then an affine output."""

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from service.spec.models.sequences import steps_of
from worker.trainer.models import recurrent_cells
from worker.trainer.models.sequences import pool_states, to_sequence


class Recurrent(nn.Module):
    """`cell` is torch's module with all its layers; token ids are embedded first."""

    cell_class: ClassVar[Callable[..., nn.RNNBase]]
    dropout_cell_class: ClassVar[Callable[..., nn.RNNBase]]  # of a stack with dropout

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: int,
        vocabulary: int | None = None,
        outputs_at: str = "last",
        hidden: int = 32,
        layers: int = 1,
        dropout: float = 0.0,
        bidirectional: bool = False,
        embedding: int = 32,
        nonlinearity: str = "tanh",
    ) -> None:
        super().__init__()
        features = steps_of(shape)[1] if vocabulary is None else embedding
        self.embed = None if vocabulary is None else nn.Embedding(vocabulary, embedding)
        how: dict[str, Any] = {"batch_first": True, "dropout": dropout, "bidirectional": bidirectional}
        how |= {"nonlinearity": nonlinearity} if self.cell_class is nn.RNN else {}
        cell_class = type(self).dropout_cell_class if dropout and layers > 1 else type(self).cell_class
        self.cell = cell_class(features, hidden, layers, **how)
        self.head = nn.Linear(hidden * (2 if bidirectional else 1), outputs)
        self.outputs_at = outputs_at

    def forward(self, x: Tensor) -> Tensor:
        """x (B, *shape) or ids (B, L) -> states (B, L, W) -> (B, outputs), or (B, L, outputs) at every position."""
        states, last = self.cell(to_sequence(x) if self.embed is None else self.embed(x.long()))
        chosen = self._last(last) if self.outputs_at == "last" else pool_states(states, self.outputs_at)
        logits: Tensor = self.head(chosen)
        return logits

    def _last(self, last: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        """Return the last layer's final state, of both directions where there are two: (B, W)."""
        state = last[0] if isinstance(last, tuple) else last  # (layers * directions, B, hidden)
        return torch.cat((state[-2], state[-1]), 1) if self.cell.bidirectional else state[-1]


class RNN(Recurrent):
    """h_t = u(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)."""

    cell_class, dropout_cell_class = nn.RNN, recurrent_cells.RNN


class GRU(Recurrent):
    """Gated recurrent units."""

    cell_class, dropout_cell_class = nn.GRU, recurrent_cells.GRU


class LSTM(Recurrent):
    """Long short-term memory; the output reads h, not the cell state c."""

    cell_class, dropout_cell_class = nn.LSTM, recurrent_cells.LSTM
