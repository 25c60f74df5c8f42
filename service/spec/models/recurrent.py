"""Recurrent models: a state is carried from step to step, and the output read at the last step or at every one."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Share, Width
from service.spec.models.leaf import Leaf, affine
from service.spec.models.sequences import SequenceModelBase, steps_of

ONE_FUNCTION = {"nonlinearity": "Elman's cell alone has one to choose"}


class RecurrentBase(SequenceModelBase):
    """Recurrent layers, then a linear output from the last states of every direction."""

    cell: ClassVar[str]  # torch's class
    gates: ClassVar[int]
    kept: ClassVar[int]  # numbers per unit and step that are kept for the backward pass
    lookahead = ("bidirectional", True)

    hidden: Annotated[Width, Field(description="hidden units of each layer")] = 32
    layers: Annotated[int, Field(ge=1, le=16, description="number of layers")] = 1
    dropout: Annotated[Share, Field(description="dropout probability between layers")] = 0.0
    bidirectional: bool = Field(False, description="also read the sequence backwards")
    embedding: Annotated[Width, Field(description="embedding size, for rows of tokens")] = 32

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for dropout with a single layer, which has no effect."""
        yield from super().problems()
        if self.dropout and self.layers == 1:
            yield Problem("/dropout", "no_effect", "dropout acts between layers, and /layers is 1: set it to 0.")

    def leaves(self, shape: tuple[int, ...], outputs: int) -> Iterator[Leaf]:
        """Yield `embed` if rows are tokens, `cell` with all layers, and `head`."""
        length, features = steps_of(shape)
        first, width = 0, self.hidden * (2 if self.bidirectional else 1)
        if self.vocabulary:
            features, first = self.embedding, 1
            yield Leaf("embed", "Embedding", (length, features), (("weight", (self.vocabulary, features)),))
        for layer in range(self.layers):
            own = tuple(self._tensors(layer, features))
            extra = length * width * self.kept
            yield Leaf("cell", self.cell, (length, width), own, first + layer, extra=extra)
            features = width
        lead = (length,) if self.outputs_at == "every" else ()
        yield affine("head", width, outputs, True, first + self.layers, lead)

    def _tensors(self, layer: int, features: int) -> Iterator[tuple[str, tuple[int, ...]]]:
        rows = self.gates * self.hidden
        for direction in ("", "_reverse") if self.bidirectional else ("",):
            yield f"weight_ih_l{layer}{direction}", (rows, features)
            yield f"weight_hh_l{layer}{direction}", (rows, self.hidden)
            yield f"bias_ih_l{layer}{direction}", (rows,)
            yield f"bias_hh_l{layer}{direction}", (rows,)


class RNN(RecurrentBase):
    """Elman's network."""

    target = "worker.trainer.models.recurrent:RNN"
    formula = "h_t = u(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)"
    paper = "Elman 1990, Finding structure in time"
    cell, gates, kept = "RNN", 1, 2

    kind: Literal["rnn"] = "rnn"
    nonlinearity: Literal["tanh", "relu"] = Field("tanh", description="activation of the recurrent cell")


class GRU(RecurrentBase):
    """Gated recurrent units: an update and a reset gate."""

    target = "worker.trainer.models.recurrent:GRU"
    paper = "Cho et al. 2014, arXiv:1406.1078"
    left_out = ONE_FUNCTION
    cell, gates, kept = "GRU", 3, 4

    kind: Literal["gru"] = "gru"


class LSTM(RecurrentBase):
    """Long short-term memory: input, forget and output gates around a cell state."""

    target = "worker.trainer.models.recurrent:LSTM"
    paper = "Hochreiter & Schmidhuber 1997, Neural Computation 9"
    left_out = ONE_FUNCTION
    cell, gates, kept = "LSTM", 4, 12  # 8 with torch's own kernels, 18 with oneDNN's on a CPU

    kind: Literal["lstm"] = "lstm"
