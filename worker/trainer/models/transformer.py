"""A small transformer: a classifier of sequences, or a causal language model."""

import torch
from torch import Tensor, nn

from service.spec.models.sequences import steps_of
from worker.trainer.models.activations import ACTIVATIONS
from worker.trainer.models.attention import Attention
from worker.trainer.models.checkpointed import blocks_of
from worker.trainer.models.sequences import pool_states, to_sequence

NORMS: dict[str, type[nn.LayerNorm] | type[nn.RMSNorm]] = {"layer": nn.LayerNorm, "rms": nn.RMSNorm}
EMBEDDING_STD = 0.02  # at initialisation (Radford et al. 2019); torch's 1 drowns the positions


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(
        self, width: int, heads: int, expansion: int, activation: str, norm: str, causal: bool, dropout: float
    ) -> None:
        super().__init__()
        self.norm1 = NORMS[norm](width)
        self.attention = Attention(width, heads, causal, dropout)
        self.norm2 = NORMS[norm](width)
        inner = [nn.Linear(width, expansion * width), ACTIVATIONS[activation](), nn.Linear(expansion * width, width)]
        self.mlp = nn.Sequential(*inner, *([nn.Dropout(dropout)] if dropout else []))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, L, W) -> (B, L, W)."""
        x = x + self.attention(self.norm1(x))
        y: Tensor = x + self.mlp(self.norm2(x))
        return y


class Transformer(nn.Module):
    """`embed` (tokens, or an affine map of numbers), learned `positions`, `blocks`, `norm`, `head`."""

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
    ) -> None:
        super().__init__()
        length, features = steps_of(shape)
        self.tokens, self.outputs_at = vocabulary is not None, outputs_at
        self.embed = nn.Embedding(vocabulary, width) if vocabulary is not None else nn.Linear(features, width)
        self.positions = nn.Embedding(length, width)
        self.dropout = nn.Dropout(dropout) if dropout else None
        block = (width, heads, expansion, activation, norm, causal, dropout)
        self.blocks = blocks_of([Block(*block) for _ in range(layers)], activation_checkpointing)
        self.norm = NORMS[norm](width)
        self.head = nn.Linear(width, outputs, bias=not tied)
        for embedding in (self.embed, self.positions):
            if isinstance(embedding, nn.Embedding):
                nn.init.normal_(embedding.weight, std=EMBEDDING_STD)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        """x (B, *shape) or ids (B, L) -> states (B, L, W) -> (B, outputs), or (B, L, outputs) at every position."""
        embedded = self.embed(x.long() if self.tokens else to_sequence(x))
        states = embedded + self.positions(torch.arange(embedded.shape[1], device=x.device))
        states = states if self.dropout is None else self.dropout(states)
        logits: Tensor = self.head(pool_states(self.norm(self.blocks(states)), self.outputs_at))
        return logits
