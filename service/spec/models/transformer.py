"""A small transformer: a classifier of sequences, or a causal language model."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Default, Share, Width
from service.spec.models.base import ActivationCheckpointing
from service.spec.models.leaf import ACTIVATIONS, Activation, Leaf, affine, dropout, normalised_together, scaling
from service.spec.models.sequences import OutputsAt, SequenceModelBase, steps_of


class Transformer(SequenceModelBase):
    """Pre-norm transformer: tokens or numbers with their positions, then blocks of self-attention and a feed-forward.

    The defaults are GPT-2's; norm rms, positions rotary, feedforward swiglu, kv_heads and bias false are LLaMA's.
    """

    target = "worker.trainer.models.transformer:Transformer"
    formula = "x <- x + attention(norm(x));  x <- x + mlp(norm(x))"
    paper = (
        "Vaswani et al. 2017, arXiv:1706.03762; normalisation first: Xiong et al. 2020, arXiv:2002.04745; rotary: "
        "Su et al. 2021, arXiv:2104.09864; SwiGLU: Shazeer 2020, arXiv:2002.05202; grouped queries: Ainslie et al. "
        "2023, arXiv:2305.13245"
    )
    lookahead = ("causal", False)

    kind: Literal["transformer"] = "transformer"
    outputs_at: OutputsAt = "mean"
    width: Annotated[int, Field(ge=1, le=8192, description="embedding size")] = 64
    heads: Annotated[int, Field(ge=1, le=128, description="attention heads; must divide width")] = 4
    layers: Annotated[int, Field(ge=1, le=100, description="number of blocks")] = 2
    expansion: Annotated[int, Field(ge=1, le=16, description="hidden units of each MLP, as a multiple of width")] = 4
    activation: Activation = "gelu"
    norm: Literal["layer", "rms"] = Field("layer", description="normalisation before each sublayer")
    dropout: Share = Field(0.0, description="dropout probability")
    causal: bool = Field(False, description="causal attention: each position sees itself and earlier ones only")
    tied: bool = Field(False, description="tie the output weights to the embedding (Press & Wolf 2017)")
    activation_checkpointing: ActivationCheckpointing = False
    positions: Literal["learned", "rotary", "sinusoidal"] = Field(
        "learned",
        description="learned: an embedding added to the input; sinusoidal: fixed waves added to it; rotary: queries "
        "and keys are turned by an angle that grows with the position",
    )
    rotary_base: Annotated[float, Field(gt=1, le=1e9)] = Field(
        10_000.0, description="rotary: base of the angles' frequencies; larger for a longer context"
    )
    feedforward: Literal["mlp", "swiglu"] = Field(
        "mlp",
        description="mlp: two layers with /activation between; swiglu: out(silu(gate(x)) * up(x)), three layers, "
        "without /activation",
    )
    hidden: Width | None = Field(
        None, description="hidden units of each feed-forward; null: expansion x width. For swiglu 8/3 x width is usual"
    )
    kv_heads: Annotated[int, Field(ge=1, le=128)] | None = Field(
        None,
        description="grouped-query attention: heads of keys and values, each shared by heads / kv_heads queries; "
        "must divide heads. null: as many as heads",
    )
    bias: bool = Field(True, description="add a bias in linear layers and layer norms")

    @property
    def hidden_units(self) -> int:
        """Hidden units of each feed-forward."""
        return self.hidden or self.expansion * self.width

    @property
    def kv_width(self) -> int:
        """Size of a position's keys, and of its values."""
        return (self.kv_heads or self.heads) * (self.width // self.heads)

    def inferred_defaults(self, shape: tuple[int, ...], task: str, vocabulary: int) -> Iterator[Default]:
        """Also yield a number of heads that divides the width."""
        yield from super().inferred_defaults(shape, task, vocabulary)
        heads = math.gcd(self.heads, self.width)
        yield Default("heads", heads, f"{heads}: a divisor of /width {self.width}.")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for heads that do not divide the width, and for tied weights without a language model."""
        yield from super().problems()
        if self.width % self.heads:
            detail = f"{self.heads} heads do not divide /width {self.width}: choose a divisor of it."
            yield Problem("/heads", "contradiction", detail)
        if self.kv_heads and self.heads % self.kv_heads:
            detail = f"{self.kv_heads} do not divide /heads {self.heads}: choose a divisor of it, or null."
            yield Problem("/kv_heads", "contradiction", detail)
        if self.positions == "rotary" and self.width // self.heads % 2:
            detail = f"a head has {self.width // self.heads} numbers, which must be even to be turned in pairs: "
            yield Problem("/heads", "contradiction", detail + "choose other /heads, or other /positions.")
        if self.tied and not (self.vocabulary and self.outputs_at == "every"):
            detail = "only a language model's output can be its embedding: set this to false."
            yield Problem("/tied", "contradiction", detail)

    def shape_problems(self, shape: tuple[int, ...], outputs: int) -> Iterator[Problem]:
        """Yield a problem for a tied output of another size than the vocabulary."""
        yield from super().shape_problems(shape, outputs)
        if self.tied and self.outputs_at == "every" and self.vocabulary not in (None, outputs):
            detail = f"/vocabulary is {self.vocabulary} and there are {outputs} outputs, which one matrix cannot be."
            yield Problem("/tied", "contradiction", detail)

    def leaves(self, shape: tuple[int, ...], outputs: int) -> Iterator[Leaf]:
        """Yield `embed`, `positions`, `blocks`, `norm` and `head`."""
        length, features = steps_of(shape)
        out = (length, self.width)
        if self.vocabulary:
            yield Leaf("embed", "Embedding", out, (("weight", (self.vocabulary, self.width)),))
        else:
            yield affine("embed", features, self.width, True, 0, (length,))
        if self.positions == "learned":
            yield Leaf("positions", "Embedding", out, (("weight", out),))
        if self.dropout:
            yield dropout("dropout", out)
        for at in range(self.layers):
            yield from self._block(f"blocks.{at}", length, at + 1)
        yield self._norm("norm", out, self.layers + 1)
        lead = (length,) if self.outputs_at == "every" else ()
        head = affine("head", self.width, outputs, self.bias and not self.tied, self.layers + 1, lead)
        yield Leaf("head", "Linear", head.out) if self.tied else head

    def _block(self, name: str, length: int, depth: int) -> Iterator[Leaf]:
        out = (length, self.width)
        yield self._norm(f"{name}.norm1", out, depth)
        yield from self._attention(f"{name}.attention", length, depth)
        yield self._norm(f"{name}.norm2", out, depth)
        feedforward = self._swiglu if self.feedforward == "swiglu" else self._mlp
        yield from feedforward(f"{name}.mlp", length, depth)

    def _attention(self, name: str, length: int, depth: int) -> Iterator[Leaf]:
        width, lead = self.width, (length,)
        kept = width + self.heads  # the output of attention and its normalisers; it keeps no matrix
        if self.positions == "rotary":
            kept += width + self.kv_width  # turned queries and keys, beside the unturned ones that hold the values
        if self.kv_width < width:
            kept += 2 * width  # keys and values, repeated for the queries that share them
        qkv = affine(f"{name}.qkv", width, width + 2 * self.kv_width, self.bias, depth, lead)
        yield Leaf(qkv.name, qkv.module, qkv.out, qkv.own, depth, extra=length * kept)
        yield affine(f"{name}.out", width, width, self.bias, depth, lead)
        if self.dropout:
            yield dropout(f"{name}.dropout", (length, width))

    def _mlp(self, name: str, length: int, depth: int) -> Iterator[Leaf]:
        width, hidden, lead = self.width, self.hidden_units, (length,)
        yield affine(f"{name}.0", width, hidden, self.bias, depth, lead)
        yield Leaf(f"{name}.1", ACTIVATIONS[self.activation], (length, hidden))
        yield affine(f"{name}.2", hidden, width, self.bias, depth, lead)
        if self.dropout:
            yield dropout(f"{name}.3", (length, width))

    def _swiglu(self, name: str, length: int, depth: int) -> Iterator[Leaf]:
        width, hidden, lead = self.width, self.hidden_units, (length,)
        yield affine(f"{name}.gate", width, hidden, self.bias, depth, lead)
        yield Leaf(f"{name}.activation", "SiLU", (length, hidden))
        up = affine(f"{name}.up", width, hidden, self.bias, depth, lead)
        yield Leaf(up.name, up.module, up.out, up.own, depth, extra=length * hidden)  # the product's other factor
        yield affine(f"{name}.out", hidden, width, self.bias, depth, lead)
        if self.dropout:
            yield dropout(f"{name}.dropout", (length, width))

    def _norm(self, name: str, out: tuple[int, ...], depth: int) -> Leaf:
        if self.norm == "layer" and not self.bias:
            own = (("weight", (self.width,)),)
            return Leaf(name, "LayerNorm", out, own, depth, together=normalised_together("LayerNorm", out))
        return scaling(name, "LayerNorm" if self.norm == "layer" else "RMSNorm", self.width, out, depth)
