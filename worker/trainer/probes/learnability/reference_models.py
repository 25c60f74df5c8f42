"""Simple models to hold a run's against: a linear one and an MLP of scaled rows, bigrams, a bag of tokens."""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from service.spec.experiment import Experiment
from service.spec.models.feedforward import MLP
from worker.trainer.build import build
from worker.trainer.data.batches import Batch

HIDDEN = (128, 64)  # of the MLP
RATES = {"linear": 1e-2, "mlp": 3e-3, "bag": 1e-2}
MAX_TOKENS = 4096  # of a table of bigrams
WEIGHT = 2.0  # in counts, of the tokens' own frequency in the prediction after each token
MAX_FEATURES = 100_000


class Reference(NamedTuple):
    """A model, its name, the rate of its training (None: it is fitted by counting), and its model in a spec, if any."""

    name: str
    model: nn.Module
    rate: float | None
    document: dict[str, Any] | None


def reference_models(spec: Experiment, rows: Batch, answer: Tensor) -> list[Reference]:
    """Return the simple models for rows of this shape; `answer` (K,) is the best constant one."""
    facts = spec.dataset.facts
    if facts.task == "language":
        if facts.vocabulary > MAX_TOKENS or rows[1].shape != rows[0].shape:
            return []
        return [Reference("bigrams", Bigrams(rows, facts.vocabulary), None, None)]
    if facts.vocabulary:
        return [Reference("bag", BagOfTokens(facts.vocabulary, spec.outputs).to(answer.device), RATES["bag"], None)]
    if math.prod(facts.shape) > MAX_FEATURES:
        return []
    embeddings = next((each.value for each in MLP().code_defaults(facts.coded)), ()) if facts.coded else ()
    found = []
    for name, hidden in (("linear", ()), ("mlp", HIDDEN)):
        component = MLP(hidden=hidden, embeddings=embeddings)
        inner = build(component, facts.shape, spec.outputs).to(answer.device)
        coded = [each.position for each in embeddings]
        model = Scaled(inner, rows, answer, output_scale(spec, rows[1], len(answer)), coded)
        found.append(Reference(name, model, RATES[name], component.model_dump(mode="json") if hidden else None))
    return found


def output_scale(spec: Experiment, y: Tensor, outputs: int) -> Tensor:
    """Return the size of each output around the constant answer: deviations of the values to predict, else 1."""
    scale = torch.ones(outputs, device=y.device)
    if "regression" in spec.loss.tasks and not spec.loss.count_data and y.dim() == 2:
        scale[: y.shape[1]] = y.std(0).clamp(min=1e-12)
    return scale


class Scaled(nn.Module):
    """A model of standardised features, whose outputs start at the best constant answer."""

    mean: Tensor
    scale: Tensor
    answer: Tensor
    size: Tensor

    def __init__(self, inner: nn.Module, rows: Batch, answer: Tensor, size: Tensor, coded: list[int]) -> None:
        super().__init__()
        self.inner, flat = inner, rows[0].flatten(1).float()
        mean, scale = flat.mean(0), flat.std(0)
        scale[scale < 1e-6 * flat.abs().amax(0).clamp(min=1e-30)] = 1.0
        mean[coded], scale[coded] = 0.0, 1.0  # codes stay as they are
        for name, value in (("mean", mean), ("scale", scale), ("answer", answer), ("size", size)):
            self.register_buffer(name, value)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, *shape) -> (B, outputs)."""
        found: Tensor = self.inner((x.flatten(1) - self.mean) / self.scale)
        return self.answer + self.size * found


class Bigrams(nn.Module):
    """The next token by the one before it: logarithms of smoothed shares, counted."""

    table: Tensor

    def __init__(self, rows: Batch, vocabulary: int) -> None:
        super().__init__()
        before, after = rows[0].flatten(), rows[1].flatten()
        known = after >= 0
        pairs = before[known] * vocabulary + after[known]
        counts = torch.bincount(pairs, minlength=vocabulary**2).reshape(vocabulary, vocabulary).double()
        own = counts.sum(0) + 0.5
        shares = counts + WEIGHT * own / own.sum()
        self.register_buffer("table", (shares / shares.sum(1, keepdim=True)).log().to(torch.get_default_dtype()))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T) tokens -> (B, T, V) logits."""
        return self.table[x]


class BagOfTokens(nn.Module):
    """A linear model of the tokens of a row, whatever their order."""

    def __init__(self, vocabulary: int, outputs: int) -> None:
        super().__init__()
        self.weights = nn.Embedding(vocabulary, outputs)  # EmbeddingBag has no deterministic gradient on a GPU
        nn.init.zeros_(self.weights.weight)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T) tokens -> (B, outputs)."""
        found: Tensor = self.weights(x).mean(1) * x.shape[1] ** 0.5
        return found + self.bias
