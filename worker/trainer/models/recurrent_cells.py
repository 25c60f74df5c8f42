"""Torch's recurrent stacks, with the dropout between their layers drawn from torch's generator.

cuDNN keeps the state of that dropout to itself, so no checkpoint can hold it. Therefore a stack with dropout is
computed layer by layer, with torch's dropout in between. On a CPU, where torch does the same, results equal torch's to
the last bit. Parameters and their names are torch's.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

FUNCTIONS = {"LSTM": "lstm", "GRU": "gru", "RNN_TANH": "rnn_tanh", "RNN_RELU": "rnn_relu"}


class LayerByLayer(nn.RNNBase):
    """The forward pass of a stack whose initial states are zero."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        """input (B, L, F) -> states of the last layer (B, L, W), final states (layers * directions, B, hidden)."""
        self._update_flat_weights()
        run: Callable[..., Any] = getattr(torch._VF, FUNCTIONS[self.mode])
        zero = input.new_zeros(2 if self.bidirectional else 1, len(input), self.hidden_size)
        begin, x, last = (zero, zero) if self.mode == "LSTM" else zero, input, list[tuple[Tensor, ...]]()
        for layer in range(self.num_layers):
            if layer:
                x = dropout(x, self.dropout, self.training)
            x, *states = run(
                *(x, begin, self._weights_of(layer), self.bias, 1, 0.0),
                *(self.training, self.bidirectional, self.batch_first),
            )
            last.append(tuple(states))
        whole = tuple(torch.cat(states) for states in zip(*last, strict=True))
        return x, whole if self.mode == "LSTM" else whole[0]

    def _weights_of(self, layer: int) -> list[Tensor]:
        each = len(self._flat_weights) // self.num_layers
        weights: list[Any] = self._flat_weights
        return weights[layer * each : (layer + 1) * each]

    def flatten_parameters(self) -> None:
        """Give each layer one buffer on a GPU, as a stack of one layer would: otherwise cuDNN copies at every call."""
        whole = self._flat_weights, self._flat_weights_names, self.input_size, self.num_layers
        each = len(self._flat_weights_names) // self.num_layers
        try:
            for layer in range(whole[-1]):
                self._flat_weights = whole[0][layer * each : (layer + 1) * each]
                self._flat_weights_names = whole[1][layer * each : (layer + 1) * each]
                self.input_size = whole[2] if layer == 0 else self.hidden_size * (2 if self.bidirectional else 1)
                self.num_layers = 1
                super().flatten_parameters()
        finally:
            self._flat_weights, self._flat_weights_names, self.input_size, self.num_layers = whole


class RNN(LayerByLayer, nn.RNN):
    """torch.nn.RNN with dropout."""


class GRU(LayerByLayer, nn.GRU):
    """torch.nn.GRU with dropout."""


class LSTM(LayerByLayer, nn.LSTM):
    """torch.nn.LSTM with dropout."""
