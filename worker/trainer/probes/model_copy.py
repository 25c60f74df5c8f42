"""A copy of a training's model on a fixed set of its rows: loss, gradient and Hessian products at any weights.

The copy is built from the spec and loads the training's weights, so that it is never compiled and carries no hooks.
Dropout is off, fused attention and cuDNN's recurrent kernels are replaced, and the mode of batch normalisation is a
choice. It computes in float64, and a large model in float32 unless the run is in fp64: the curvature of a loss that is
rounded to bf16 or TF32 is mostly the curvature of its rounding, and the signs of eigenvalues need the digits.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any, Literal

import torch
import torch.fx.experimental.symbolic_shapes  # autograd would import it within the first product: seconds in a step
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from service.spec.probes.base import ModelCopyProbe
from worker.trainer.build import build_model
from worker.trainer.probes.measurement import ProbedTraining, differentiable, side_effect_free
from worker.trainer.start_weights import load_start
from worker.trainer.step.losses import loss_denominator, partial_loss

Norms = Literal["train", "eval"]
MAX_FLOAT64 = 100_000  # parameters
PIECE = 2**24  # numbers that one forward pass may save for its backward; a second derivative saves about three times


class ModelCopy:
    """The copy starts at the training's weights. A point is a vector (n,) of all trainable parameters."""

    def __init__(
        self,
        training: ProbedTraining,
        rows: int = 2048,
        norms: Norms = "train",
        penalty: bool = False,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.training, self.norms, self.notes = training, norms, list[str]()
        self.forwards = self.gradients = self.products = 0  # passes over the whole probe set so far
        self.differences = False  # whether products are differences of gradients
        self.checked = False  # whether its second derivative was found symmetric
        with side_effect_free(training.device):
            self.model = rebuild(training)
        self.names, self.parameters = _learning(self.model)
        self.n = sum(p.numel() for p in self.parameters)
        self.dtype = dtype or (torch.float64 if self.n <= MAX_FLOAT64 else torch.get_default_dtype())
        self.criterion = deepcopy(training.criterion)
        self.x, self.y = probe_set(training, rows)
        self._convert()
        self._set_modes()
        self.decay = _decay(training, self.names, self.parameters) if penalty else None
        self._slopes: list[Tensor] | None = None

    @classmethod
    def of(cls, training: ProbedTraining, component: ModelCopyProbe, **options: Any) -> "ModelCopy":
        """Return the copy that a probe's component describes."""
        return cls(training, component.rows, component.batch_norm, **options)

    def _convert(self) -> None:
        """Convert to the wanted precision, or back to float32 if the model requires it."""
        for dtype in dict.fromkeys((self.dtype, torch.float32)):
            self.dtype = dtype
            self.model.to(dtype)
            self.criterion.to(dtype)
            self.x, self.y = _floats(self.x, dtype), _floats(self.y, dtype)
            try:
                with differentiable(self.training.device, self.model):
                    self.saved_per_row = self._saved_by(2) - self._saved_by(1)
                return
            except RuntimeError as error:
                if dtype == torch.float32:
                    raise
                self.notes.append(f"float32: the model cannot compute in float64 ({_short(error)})")

    def _saved_by(self, rows: int) -> int:
        """Return how many numbers a forward pass over `rows` rows saves for its backward."""
        saved = list[int]()

        def pack(tensor: Tensor) -> Tensor:
            saved.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            self.criterion(self.model.eval()(self.x[:rows]), self.y[:rows])
        return sum(saved)

    def _set_modes(self) -> None:
        self.model.eval()
        self.batch_norms = [m for m in self.model.modules() if isinstance(m, _BatchNorm)]
        for module in self.batch_norms:
            module.train(self.norms == "train")

    def pieces(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the probe set in parts that fit in memory; with batch statistics, in batches of the training's size."""
        rows, size = len(self.x), max(1, PIECE // max(1, self.saved_per_row))
        if self.batch_norms and self.norms == "train":
            size = min(size, max(2, self.training.spec.rows_per_step))
        whole = max(1, rows // size if self.batch_norms else -(-rows // size))
        return zip(torch.tensor_split(self.x, whole), torch.tensor_split(self.y, whole), strict=True)

    def theta(self) -> Tensor:
        """Return the current weights (n,), copied."""
        return flat([p.detach() for p in self.parameters])

    def put(self, theta: Tensor) -> None:
        """Set the weights."""
        self._slopes = None
        with torch.no_grad():
            for p, value in zip(self.parameters, self.split(theta), strict=True):
                p.copy_(value)

    def split(self, vector: Tensor) -> list[Tensor]:
        """Split a vector (n,) into one tensor per parameter."""
        parts = torch.split(vector, [p.numel() for p in self.parameters])
        return [part.view_as(p) for part, p in zip(parts, self.parameters, strict=True)]

    def value(self, theta: Tensor | None = None) -> float:
        """Return the mean loss over the probe set, at the current weights or at `theta`."""
        if theta is not None:
            self.put(theta)
        with differentiable(self.training.device, self.model), torch.no_grad():
            whole = loss_denominator(self.criterion, self.y)
            total = sum(float(partial_loss(self.criterion, self.model(x), y, whole)) for x, y in self.pieces())
        self.forwards += 1
        if self.decay is not None:
            total += 0.5 * float((self.decay * self.theta() ** 2).sum())
        return total

    def along(self, direction: Tensor, distances: Sequence[float]) -> list[float]:
        """Return the loss at theta + a * direction for each a; the weights are restored to the last bit."""
        here = self.theta()
        found = [self.value(here + a * direction) for a in distances]
        self.put(here)
        return found

    def gradient(self, rows: Tensor | None = None) -> Tensor:
        """Return the mean gradient (n,) over the probe set, or over some rows of it."""
        with differentiable(self.training.device, self.model):
            pieces = self.pieces() if rows is None else iter([(self.x[rows], self.y[rows])])
            whole = loss_denominator(self.criterion, self.y if rows is None else self.y[rows])
            found = torch.zeros(self.n, dtype=self.dtype, device=self.training.device)
            for x, y in pieces:
                found += flat(self._slope(partial_loss(self.criterion, self.model(x), y, whole)))
        self.gradients += rows is None
        return found if self.decay is None else found + self.decay * self.theta()

    def product(self, v: Tensor) -> Tensor:
        """Return H v (n,) of the loss over the probe set, by a second backward pass (Pearlmutter 1994)."""
        if not self.differences:
            try:
                with differentiable(self.training.device, self.model):
                    found = self._second(v)
                    self._check(v, found)
                self.products += 1
                return found if self.decay is None else found + self.decay * v
            except (RuntimeError, NotImplementedError) as error:
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                self.differences, self._slopes = True, None
                self.notes.append(f"products are differences of gradients: no second backward ({_short(error)})")
        return self._difference(v)

    def _check(self, v: Tensor, found: Tensor) -> None:
        """Raise RuntimeError, once, if the products are not symmetric: a partial second derivative is not."""
        if self.checked:
            return
        u = torch.randn(self.n, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(v)
        turned = self._second(u)
        size = norm(u) * norm(found) + norm(v) * norm(turned)
        if abs(float(u @ found) - float(v @ turned)) > size * torch.finfo(self.dtype).eps ** 0.5:
            raise RuntimeError("its products are not symmetric")
        self.checked = True

    def _second(self, v: Tensor) -> Tensor:
        if self._slopes is None:
            pieces, whole = list(self.pieces()), loss_denominator(self.criterion, self.y)
            if len(pieces) > 1:
                vectors, found = self.split(v), torch.zeros_like(v)
                for x, y in pieces:
                    slope = self._slope(partial_loss(self.criterion, self.model(x), y, whole), again=True)
                    found += flat(self._hessian_product(slope, vectors, keep=False))
                return found
            # all products share the first backward
            self._slopes = self._slope(self.criterion(self.model(self.x), self.y), again=True)
        return flat(self._hessian_product(self._slopes, self.split(v), keep=True))

    def _slope(self, loss: Tensor, again: bool = False) -> list[Tensor]:
        if not loss.requires_grad:
            return [torch.zeros_like(p) for p in self.parameters]
        found = list(torch.autograd.grad(loss, self.parameters, create_graph=again, materialize_grads=True))
        if again and not self.checked:
            refuse_once_differentiable(found)
        return found

    def _hessian_product(self, slope: list[Tensor], vectors: list[Tensor], keep: bool) -> list[Tensor]:
        """Return the gradient of slope @ v; 0 where the slope is constant."""
        bent = [(g, u) for g, u in zip(slope, vectors, strict=True) if g.requires_grad]
        if not bent:
            return [torch.zeros_like(p) for p in self.parameters]
        slopes, along = zip(*bent, strict=True)
        return list(torch.autograd.grad(slopes, self.parameters, along, retain_graph=keep, materialize_grads=True))

    def _difference(self, v: Tensor) -> Tensor:
        """Return (g(theta + e v) - g(theta - e v)) / 2e, with the e that balances its two errors."""
        here, size = self.theta(), float(v.norm())
        if size == 0:
            return torch.zeros_like(v)
        e = torch.finfo(self.dtype).eps ** (1 / 3) * (1 + float(here.norm())) / size
        self.put(here + e * v)
        ahead = self.gradient()
        self.put(here - e * v)
        found: Tensor = (ahead - self.gradient()) / (2 * e)
        self.put(here)
        self.gradients -= 2
        self.products += 1
        return found

    def hessian(self) -> Tensor:
        """Return the full Hessian (n, n), one product per column: slow and exact."""
        unit = torch.zeros(self.n, dtype=self.dtype, device=self.training.device)
        columns = []
        for i in range(self.n):
            unit[i] = 1
            columns.append(self.product(unit))
            unit[i] = 0
        found = torch.stack(columns, 1)
        return torch.add(found, found.T) / 2

    def initial(self) -> Tensor:
        """Return the first weights (n,) of the spec and seed, ignoring a fork's parent."""
        with side_effect_free(self.training.device):
            torch.manual_seed(self.training.seed)
            spec = self.training.spec
            first = build_model(spec)
            load_start(first, spec, self.training.files)
        values = dict(first.named_parameters())
        vector = flat([values[name].detach() for name in self.names])
        return vector.to(self.training.device, self.dtype)

    def describe(self) -> dict[str, Any]:
        """Return on what data and how it was computed, for a reading."""
        return {
            "parameters": self.n,
            "rows": len(self.x),
            "of": len(self.training.batches.x),
            "dtype": str(self.dtype).removeprefix("torch."),
            "trained_in": self.training.spec.precision,
            "dropout": "off",
            "batch_norm": self.norms if self.batch_norms else None,
            "weight_decay": self.decay is not None and bool(self.decay.any()),
            "forwards": self.forwards,
            "gradients": self.gradients,
            "products": self.products,
            "product": "difference of gradients" if self.differences else "second backward",
            "cost_gradients": round(0.4 * self.forwards + self.gradients + 1.5 * self.products, 1),
            "notes": self.notes,
        }


def rebuild(training: ProbedTraining) -> nn.Module:
    """Return a new model at the training's weights; it draws random numbers, so call it `side_effect_free`."""
    spec = training.spec
    model = build_model(spec).to(training.device)
    source = getattr(training.model, "_orig_mod", training.model)  # what torch.compile wraps
    model.load_state_dict(source.state_dict())
    learns = {name: p.requires_grad for name, p in source.named_parameters()}
    for name, p in model.named_parameters():
        p.requires_grad_(learns[name])
    return model


def probe_set(training: ProbedTraining, rows: int) -> tuple[Tensor, Tensor]:
    """Return the same training rows at every measurement and in every run on these data; all if there are fewer."""
    x, y = training.batches.x, training.batches.y
    seed = int.from_bytes(hashlib.sha256(b"probe set").digest()[:8], "big") >> 1
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    chosen = order[:rows].sort().values.to(x.device)
    return x.index_select(0, chosen), y.index_select(0, chosen)


def flat(parts: Sequence[Tensor]) -> Tensor:
    """Join tensors into one vector."""
    return torch.cat([part.reshape(-1) for part in parts])


def refuse_once_differentiable(slope: Sequence[Tensor]) -> None:
    """Raise RuntimeError if a function in the graph has no second derivative: autograd would take it for 0.

    The node that `once_differentiable` leaves raises only when reached, and a gradient with respect to named tensors
    never reaches it.
    """
    waiting, seen = [g.grad_fn for g in slope], set[Any]()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.name().endswith("::Error"):
            raise RuntimeError("a function of the model is differentiable once only")
        waiting += [inner for inner, _ in node.next_functions]


def _learning(model: nn.Module) -> tuple[list[str], list[nn.Parameter]]:
    for module in model.modules():
        if isinstance(module, nn.Embedding):
            module.sparse = False  # a sparse gradient has no second derivative
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return [name for name, _ in named], [p for _, p in named]


def _decay(training: ProbedTraining, names: list[str], parameters: list[nn.Parameter]) -> Tensor:
    """Return the weight decay (n,) that optimizers add to the gradient, which makes it part of the loss."""
    found = {id(p): 0.0 for p in training.model.parameters()}
    for optimizer in training.optimizers:
        for group in optimizer.param_groups:
            decoupled = type(optimizer).__name__ in DECOUPLED or any(group.get(name) for name in DECOUPLES)
            for p in group["params"]:
                found[id(p)] = 0.0 if decoupled else float(group.get("weight_decay", 0.0))
    source = dict(getattr(training.model, "_orig_mod", training.model).named_parameters())
    return flat([torch.full_like(p, found[id(source[name])]) for name, p in zip(names, parameters, strict=True)])


DECOUPLES = ("decoupled_weight_decay", "weight_decouple")  # in torch, in pytorch_optimizer
# they shrink the weights directly
DECOUPLED = {"AdamW", "Muon", "Adafactor", "AdamWScheduleFree", "RAdamScheduleFree"}


def _floats(table: Tensor, dtype: torch.dtype) -> Tensor:
    return table.to(dtype) if table.is_floating_point() else table


def _short(error: BaseException) -> str:
    return str(error).splitlines()[0][:160]


def norm(vector: Tensor) -> float:
    """Return the 2-norm as a number."""
    return math.sqrt(float(vector.double().square().sum()))
