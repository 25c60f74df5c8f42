"""Forward and backward of stacked affine layers with activations between them, by hand and without new memory.

Autograd takes new memory for every product, and a page fault for each of its pages. Only for a cross entropy of classes
or a squared error, whose gradients are short. Values are kept as (R, features, rows): a softmax over ten classes whose
rows lie side by side takes a twentieth of the time of one whose classes do.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from worker.trainer.models.mlp import MLP
from worker.trainer.models.sum_of_units import SumOfUnits
from worker.trainer.pack.batches import PackedBatch
from worker.trainer.step.losses import NO_IGNORE_INDEX

Named = Mapping[str, Tensor]
ACTIVATIONS = (nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Identity)  # whose derivative is a function of their value


class Layer(NamedTuple):
    """An affine map by the names of its tensors, the activation behind it, and the modules with its output."""

    weight: str
    bias: str | None
    activation: nn.Module
    paths: tuple[str, ...]


class AffineChain:
    """The losses and gradients of R members of one chain, of which some parameters may be frozen."""

    def __init__(
        self, layers: Sequence[Layer], smoothing: Sequence[float] | None, like: Tensor, frozen: Collection[str]
    ) -> None:
        self.layers, self.frozen = layers, frozen
        learning = [at for at, each in enumerate(layers) if not {each.weight, each.bias} <= {*frozen, None}]
        self.lowest = learning[0]  # of the layers with gradients; nothing below it is differentiated
        self.smoothing = None if smoothing is None else torch.tensor(smoothing).to(like).view(-1, 1, 1)
        self._memory: dict[tuple[str, int, int], Tensor] = {}  # by use, layer and rows
        self._latest: list[Tensor] = []  # values of the latest forward pass

    @classmethod
    def of(
        cls, models: Sequence[nn.Module], criteria: Sequence[nn.Module], frozen: Collection[str] = ()
    ) -> "AffineChain | None":
        """Return None unless these models and losses have this form; `frozen` parameters get no gradients."""
        layers = _layers(models[0])
        if layers is None or not all(isinstance(each.activation, ACTIVATIONS) for each in layers):
            return None
        like = next(models[0].parameters())
        first = criteria[0]
        if type(first) is nn.MSELoss:
            return cls(layers, None, like, frozen)
        if type(first) is not nn.CrossEntropyLoss or first.weight is not None or first.ignore_index != NO_IGNORE_INDEX:
            return None
        return cls(layers, [getattr(each, "label_smoothing", 0.0) for each in criteria], like, frozen)

    def keep(self, slots: Sequence[int]) -> None:
        """Keep the members in these slots."""
        if self.smoothing is not None:
            self.smoothing = self.smoothing[list(slots)]
        self._memory, self._latest = {}, []

    def fits(self, batch: PackedBatch) -> bool:
        """Whether the targets are of the loss's usual kind."""
        return (self.smoothing is None) == batch.y.is_floating_point()

    @torch.no_grad()
    def compute(self, weights: Named, gradients: Named, batch: PackedBatch) -> Tensor:
        """Write the gradients (R, ...) of the mean losses, and return these (R,)."""
        values = self._values(weights, batch)
        runs = len(values[0])
        y = batch.y.expand(runs, *batch.y.shape) if batch.shared else batch.y
        losses, slope = self._squared(values[-1], y) if self.smoothing is None else self._entropy(values[-1], y)
        for at in range(len(self.layers) - 1, self.lowest - 1, -1):
            layer = self.layers[at]
            if layer.weight not in self.frozen:
                torch.bmm(slope, values[at].transpose(1, 2), out=gradients[layer.weight])
            if layer.bias is not None and layer.bias not in self.frozen:
                torch.sum(slope, 2, out=gradients[layer.bias])
            if at > self.lowest:
                memory = self._kept("slope", at, values[at].shape, slope)
                slope = torch.bmm(weights[layer.weight].transpose(1, 2), slope, out=memory)
                _backward(self.layers[at - 1].activation, slope, values[at])
        return losses

    @torch.no_grad()
    def outputs(self, weights: Named, batch: PackedBatch) -> Tensor:
        """Return the last layer's outputs (R, B, K), in memory that the next step overwrites."""
        return self._values(weights, batch)[-1].transpose(1, 2)

    @property
    def seen(self) -> dict[str, Tensor]:
        """The outputs (R, B, F) of modules in the latest forward pass, by path."""
        pairs = zip(self.layers, self._latest[1:], strict=True)
        return {path: value.transpose(1, 2) for layer, value in pairs for path in layer.paths}

    def _values(self, weights: Named, batch: PackedBatch) -> list[Tensor]:
        """Return the input (R, F, B) of each layer, and the last one's output."""
        runs = len(next(iter(weights.values())))
        x = batch.x.flatten(1).expand(runs, -1, -1) if batch.shared else batch.x.flatten(2)
        values = [x.transpose(1, 2)]
        for at, layer in enumerate(self.layers):
            values.append(self._forward(at, layer, weights, values[-1]))
        self._latest = values
        return values

    def _forward(self, at: int, layer: Layer, weights: Named, x: Tensor) -> Tensor:
        weight = weights[layer.weight]
        out = self._kept("value", at, (len(x), weight.shape[1], x.shape[2]), weight)
        if layer.bias is None:
            torch.bmm(weight, x, out=out)
        else:
            torch.baddbmm(weights[layer.bias].unsqueeze(2), weight, x, out=out)
        return _activate(layer.activation, out)

    def _kept(self, use: str, at: int, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return memory of (R, F, B) that the last step used alike."""
        key = use, at, shape[2]
        found = self._memory.get(key)
        if found is None or len(found) != shape[0]:
            found = self._memory[key] = like.new_empty(*shape)
        return found

    def _entropy(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """z (R, K, B), y (R, B) -> losses (R,), their gradient with respect to z."""
        _, classes, rows = z.shape
        logs = torch.log_softmax(z, 1)
        chosen = y.unsqueeze(1)
        losses = -logs.gather(1, chosen).mean((1, 2))
        assert self.smoothing is not None
        share = self.smoothing
        if smooth := bool(share.any()):
            losses = (1 - share).view(-1) * losses - share.view(-1) * logs.mean((1, 2))
        slope = logs.exp_().scatter_add_(1, chosen, (share - 1).expand(*chosen.shape))
        return losses, (slope.sub_(share / classes) if smooth else slope).div_(rows)

    def _squared(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """z (R, K, B), y (R, B, K) -> losses (R,), their gradient with respect to z."""
        slope = z - y.transpose(1, 2)
        losses = slope.square().mean((1, 2))
        return losses, slope.mul_(2 / slope[0].numel())


def _layers(model: nn.Module) -> list[Layer] | None:
    """Return the affine layers of a model; None if it has others."""
    if type(model) is SumOfUnits:
        inner = Layer("inner.weight", "inner.bias", model.unit, ("unit",))
        return [inner, Layer("outer.weight", "outer.bias", nn.Identity(), ("outer",))]
    if type(model) is not MLP or model.coded:
        return None
    found: list[Layer] = []
    for name, module in model.layers.named_children():
        if isinstance(module, nn.Linear):
            bias_name = None if module.bias is None else f"layers.{name}.bias"
            found.append(Layer(f"layers.{name}.weight", bias_name, nn.Identity(), (f"layers.{name}",)))
        elif found and isinstance(found[-1].activation, nn.Identity):
            paths = found[-1].paths if isinstance(module, nn.Identity) else ()
            found[-1] = found[-1]._replace(activation=module, paths=(*paths, f"layers.{name}"))
        else:
            return None
    return found


def _activate(activation: nn.Module, z: Tensor) -> Tensor:
    if isinstance(activation, nn.ReLU):
        return z.relu_()
    if isinstance(activation, nn.Tanh):
        return z.tanh_()
    return z.sigmoid_() if isinstance(activation, nn.Sigmoid) else z


def _backward(activation: nn.Module, slope: Tensor, value: Tensor) -> None:
    """Multiply the slope by the activation's derivative where its value is `value`, in place."""
    aten = torch.ops.aten
    if isinstance(activation, nn.ReLU):
        aten.threshold_backward.grad_input(slope, value, 0, grad_input=slope)
    elif isinstance(activation, nn.Tanh):
        aten.tanh_backward.grad_input(slope, value, grad_input=slope)
    elif isinstance(activation, nn.Sigmoid):
        aten.sigmoid_backward.grad_input(slope, value, grad_input=slope)
