"""A small transformer: a classifier of sequences, or a causal language model."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Default, Share
from service.spec.models.base import ActivationCheckpointing
from service.spec.models.leaf import ACTIVATIONS, Activation, Leaf, affine, dropout, scaling
from service.spec.models.sequences import OutputsAt, SequenceModelBase, steps_of


class Transformer(SequenceModelBase):
    """Pre-norm transformer: learned position embeddings, then blocks of self-attention and an MLP."""

    target = "worker.trainer.models.transformer:Transformer"
    formula = "x <- x + attention(norm(x));  x <- x + mlp(norm(x))"
    paper = "Vaswani et al. 2017, arXiv:1706.03762; normalisation first: Xiong et al. 2020, arXiv:2002.04745"
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
        yield Leaf("positions", "Embedding", out, (("weight", out),))
        if self.dropout:
            yield dropout("dropout", out)
        for at in range(self.layers):
            yield from self._block(f"blocks.{at}", length, at + 1)
        yield self._norm("norm", out, self.layers + 1)
        lead = (length,) if self.outputs_at == "every" else ()
        head = affine("head", self.width, outputs, not self.tied, self.layers + 1, lead)
        yield Leaf("head", "Linear", head.out) if self.tied else head

    def _block(self, name: str, length: int, depth: int) -> Iterator[Leaf]:
        width, lead, out = self.width, (length,), (length, self.width)
        attended = length * (width + self.heads)  # the output of attention and its normalisers; it keeps no matrix
        yield self._norm(f"{name}.norm1", out, depth)
        qkv = affine(f"{name}.attention.qkv", width, 3 * width, True, depth, lead)
        yield Leaf(qkv.name, qkv.module, qkv.out, qkv.own, depth, extra=attended)
        yield affine(f"{name}.attention.out", width, width, True, depth, lead)
        if self.dropout:
            yield dropout(f"{name}.attention.dropout", out)
        yield self._norm(f"{name}.norm2", out, depth)
        yield affine(f"{name}.mlp.0", width, self.expansion * width, True, depth, lead)
        yield Leaf(f"{name}.mlp.1", ACTIVATIONS[self.activation], (length, self.expansion * width))
        yield affine(f"{name}.mlp.2", self.expansion * width, width, True, depth, lead)
        if self.dropout:
            yield dropout(f"{name}.mlp.3", out)

    def _norm(self, name: str, out: tuple[int, ...], depth: int) -> Leaf:
        return scaling(name, "LayerNorm" if self.norm == "layer" else "RMSNorm", self.width, out, depth)
