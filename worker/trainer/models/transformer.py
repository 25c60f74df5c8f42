"""A small transformer: a classifier of sequences, or a causal language model."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from service.spec.models.sequences import steps_of
from worker.trainer.models.activations import ACTIVATIONS
from worker.trainer.models.attention import Attention, rotary_table
from worker.trainer.models.checkpointed import blocks_of
from worker.trainer.models.sequences import pool_states, to_sequence

EMBEDDING_STD = 0.02  # at initialisation (Radford et al. 2019); torch's 1 drowns the positions
WAVES_BASE = 10_000.0  # of sinusoidal positions (Vaswani et al. 2017, section 3.5)


def sinusoids(length: int, width: int) -> Tensor:
    """Return fixed positions (L, W): sines in the even columns, cosines in the odd ones. Computed in float64."""
    even = torch.arange(0, width, 2, dtype=torch.float64)
    angles = torch.arange(length, dtype=torch.float64)[:, None] * WAVES_BASE ** (-even / width)
    return torch.stack((angles.sin(), angles.cos()), -1).flatten(1)[:, :width].to(torch.get_default_dtype())


class GatedFeedForward(nn.Module):
    """out(silu(gate(x)) * up(x)): SwiGLU (Shazeer 2020, arXiv:2002.05202, eq. 6)."""

    def __init__(self, width: int, hidden: int, bias: bool, dropout: float) -> None:
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=bias)
        self.activation = nn.SiLU()
        self.up = nn.Linear(width, hidden, bias=bias)
        self.out = nn.Linear(hidden, width, bias=bias)
        if dropout:
            self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., W) -> (..., W)."""
        y: Tensor = self.out(self.activation(self.gate(x)) * self.up(x))
        return self.dropout(y) if hasattr(self, "dropout") else y


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, norm: Callable[[], nn.Module], attention: Attention, mlp: nn.Module) -> None:
        super().__init__()
        self.norm1 = norm()
        self.attention = attention
        self.norm2 = norm()
        self.mlp = mlp

    def forward(self, x: Tensor) -> Tensor:
        """x (B, L, W) -> (B, L, W)."""
        x = x + self.attention(self.norm1(x))
        y: Tensor = x + self.mlp(self.norm2(x))
        return y


class Transformer(nn.Module):
    """`embed` (tokens, or an affine map of numbers), `positions`, `blocks`, `norm`, `head`."""

    def __init__(
        self,
        shape: tuple[int, ...],
        outputs: int,
        vocabulary: int | None = None,
        outputs_at: str = "mean",
        width: int = 64,
        heads: int = 4,
        layers: int = 2,
        expansion: int = 4,
        activation: str = "gelu",
        norm: str = "layer",
        dropout: float = 0.0,
        causal: bool = False,
        tied: bool = False,
        activation_checkpointing: bool = False,
        positions: str = "learned",
        rotary_base: float = 10_000.0,
        feedforward: str = "mlp",
        hidden: int | None = None,
        kv_heads: int | None = None,
        bias: bool = True,
    ) -> None:
        super().__init__()
        length, features = steps_of(shape)
        units = hidden or expansion * width
        self.tokens, self.outputs_at = vocabulary is not None, outputs_at
        self.embed = nn.Embedding(vocabulary, width) if vocabulary is not None else nn.Linear(features, width)
        if positions == "learned":
            self.positions = nn.Embedding(length, width)
        self.register_buffer("waves", sinusoids(length, width) if positions == "sinusoidal" else None, persistent=False)
        self.dropout = nn.Dropout(dropout) if dropout else None
        rotary = rotary_table(length, width // heads, rotary_base) if positions == "rotary" else None

        def normalise() -> nn.Module:
            return nn.LayerNorm(width, bias=bias) if norm == "layer" else nn.RMSNorm(width)

        def block() -> Block:
            attention = Attention(width, heads, causal, dropout, kv_heads, bias, rotary)
            if feedforward == "swiglu":
                return Block(normalise, attention, GatedFeedForward(width, units, bias, dropout))
            inner = [nn.Linear(width, units, bias=bias), ACTIVATIONS[activation](), nn.Linear(units, width, bias=bias)]
            return Block(normalise, attention, nn.Sequential(*inner, *([nn.Dropout(dropout)] if dropout else [])))

        self.blocks = blocks_of([block() for _ in range(layers)], activation_checkpointing)
        self.norm = normalise()
        self.head = nn.Linear(width, outputs, bias=bias and not tied)
        for embedding in (self.embed, getattr(self, "positions", None)):
            if isinstance(embedding, nn.Embedding):
                nn.init.normal_(embedding.weight, std=EMBEDDING_STD)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        """x (B, *shape) or ids (B, L) -> states (B, L, W) -> (B, outputs), or (B, L, outputs) at every position."""
        states = self.embed(x.long() if self.tokens else to_sequence(x))
        if hasattr(self, "positions"):
            states = states + self.positions(torch.arange(states.shape[1], device=x.device))
        elif isinstance(self.waves, Tensor):
            states = states + self.waves[: states.shape[1]].to(states.dtype)
        states = states if self.dropout is None else self.dropout(states)
        logits: Tensor = self.head(pool_states(self.norm(self.blocks(states)), self.outputs_at))
        return logits
