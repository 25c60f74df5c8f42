"""Recurrent layers step by step, in operations that `vmap` batches: torch's fused kernels have no stacked form."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

State = tuple[Tensor, ...]  # h, and c of an LSTM: (B, H) each
Advance = Callable[[Tensor, State, Tensor, Tensor | None], State]


def rnn_tanh(given: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    """h' = tanh(W_ih x + W_hh h), the first term `given`."""
    return (torch.tanh(given + linear(state[0], weight, bias)),)


def rnn_relu(given: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    """h' = max(0, W_ih x + W_hh h)."""
    return (torch.relu(given + linear(state[0], weight, bias)),)


def gru(given: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    """Cho et al. 2014, arXiv:1406.1078, with torch's reset gate behind the product."""
    (h,) = state
    of_x, of_h = given.chunk(3, -1), linear(h, weight, bias).chunk(3, -1)
    reset, update = torch.sigmoid(of_x[0] + of_h[0]), torch.sigmoid(of_x[1] + of_h[1])
    candidate = torch.tanh(of_x[2] + reset * of_h[2])
    return (candidate + update * (h - candidate),)


def lstm(given: Tensor, state: State, weight: Tensor, bias: Tensor | None) -> State:
    """Hochreiter & Schmidhuber 1997 with forget gates: i, f, g and o in torch's order."""
    h, c = state
    i, f, g, o = (given + linear(h, weight, bias)).chunk(4, -1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


ADVANCE: dict[str, Advance] = {"RNN_TANH": rnn_tanh, "RNN_RELU": rnn_relu, "GRU": gru, "LSTM": lstm}


def unrolled(cell: nn.RNNBase, dropout: nn.Module | None) -> Callable[..., Any]:
    """Return the forward pass of these layers, from zero states and with `dropout` between them."""

    def forward(rows: Tensor) -> tuple[Tensor, Any]:
        """rows (B, L, F) -> states of the last layer (B, L, W), last states (layers * directions, B, H)."""
        x, last = rows.transpose(0, 1), list[State]()
        for layer in range(cell.num_layers):
            x = dropout(x) if layer and dropout is not None else x
            states, end = _run(cell, x, f"l{layer}")
            last.append(end)
            if cell.bidirectional:
                backwards, end = _run(cell, x.flip(0), f"l{layer}_reverse")
                states = torch.cat((states, backwards.flip(0)), -1)
                last.append(end)
            x = states
        ends = tuple(torch.stack(each) for each in zip(*last, strict=True))
        return x.transpose(0, 1), ends if cell.mode == "LSTM" else ends[0]

    return forward


def _run(cell: nn.RNNBase, x: Tensor, name: str) -> tuple[Tensor, State]:
    """x (L, B, F) -> states (L, B, H) of one layer in one direction, and the last one."""
    parts = (getattr(cell, f"{part}_{name}", None) for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    of_x, of_h, bias_x, bias_h = parts
    assert of_x is not None
    assert of_h is not None
    advance, zero = ADVANCE[cell.mode], x.new_zeros(x.shape[1], cell.hidden_size)
    state: State = (zero, zero) if cell.mode == "LSTM" else (zero,)
    states = []
    if cell.mode != "GRU" and bias_x is not None and bias_h is not None:  # one sum for all steps
        bias_x, bias_h = bias_x + bias_h, None
    for given in linear(x, of_x, bias_x).unbind():
        state = advance(given, state, of_h, bias_h)
        states.append(state[0])
    return torch.stack(states), state
