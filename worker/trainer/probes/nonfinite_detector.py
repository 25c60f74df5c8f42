"""Hooks on a model, its loss and its optimizers that record the first non-finite value."""

from functools import partial
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from worker.trainer.probes.measurement import ProbedTraining

Kind = Literal["input", "output", "loss", "gradient", "optimizer_state", "weight"]


class NonFinite(NamedTuple):
    """A tensor that holds non-finite entries."""

    kind: Kind
    module: str | None  # path in the model; None: outside the model
    module_class: str | None
    tensor: str  # of the module: "output", "weight", ...
    nan: bool  # else infinite
    entries: int  # that are not finite
    of: int  # entries in all
    rows: tuple[int, ...]  # of the batch, where the tensor has an entry per row


class NonFiniteDetector:
    """Watches from `__enter__` to `__exit__` without changing the training.

    Scaled fp16 gradients may overflow by design, so they are not checked.
    """

    def __init__(self, training: ProbedTraining) -> None:
        self.training = training
        self.scaled = training.pipeline.precision.scaler is not None
        self.names = {id(p): name for name, p in training.model.named_parameters()}
        self.handles: list[Any] = []
        self.found: NonFinite | None = None
        self.begin_step()

    def begin_step(self) -> None:
        """Clear the losses and norms of the previous update."""
        self.losses: list[float] = []
        self.norms: list[float] = []
        self.seen, self.rows = 0, 0  # rows of the batch so far, and in the current forward pass

    def __enter__(self) -> Self:
        model, criterion = self.training.model, self.training.criterion
        self._weights("weight")  # of the checkpoint itself
        self.handles.append(model.register_forward_pre_hook(self._input))
        for path, module in model.named_modules():
            self.handles.append(module.register_forward_hook(partial(self._output, path)))
        self.handles.append(criterion.register_forward_pre_hook(self._answers))
        self.handles.append(criterion.register_forward_hook(self._loss))
        for name, p in model.named_parameters():
            if p.requires_grad and not self.scaled:
                hooked: Any = p
                self.handles.append(hooked.register_hook(partial(self._parameter_gradient, name)))
        for optimizer in self.training.optimizers:
            self.handles.append(optimizer.register_step_pre_hook(self._before_update))
            self.handles.append(optimizer.register_step_post_hook(self._after_update))
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self.handles:
            handle.remove()

    def _input(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if module.training and torch.is_grad_enabled():
            self.seen += self.rows
            self.rows = len(inputs[0])
            self._check("input", None, None, "x", inputs[0])

    def _output(self, path: str, module: nn.Module, _inputs: Any, output: Any) -> None:
        if not (self.training.model.training and torch.is_grad_enabled()):
            return  # an evaluation
        for i, tensor in enumerate(output if isinstance(output, tuple) else (output,)):
            if isinstance(tensor, Tensor) and tensor.is_floating_point():
                what = "output" if i == 0 else f"output {i}"
                self._check("output", path, module, what, tensor)
                if tensor.requires_grad and not self.scaled:
                    hooked: Any = tensor
                    hooked.register_hook(partial(self._check, "gradient", path, module, what))

    def _answers(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if torch.is_grad_enabled() and isinstance(inputs[1], Tensor):
            self._check("input", None, None, "y", inputs[1])

    def _loss(self, _module: nn.Module, _inputs: Any, loss: Tensor) -> None:
        if torch.is_grad_enabled():
            self.losses.append(float(loss.detach()))
            self._check("loss", None, self.training.criterion, "loss", loss)

    def _parameter_gradient(self, name: str, gradient: Tensor) -> None:
        self._check("gradient", *self._owner(name), gradient.coalesce().values() if gradient.is_sparse else gradient)

    def _before_update(self, _optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        found = [p.grad for p in self.training.model.parameters() if p.grad is not None and not p.grad.is_sparse]
        if found:
            self.norms.append(float(nn.utils.get_total_norm(found)))

    def _after_update(self, optimizer: Optimizer, _args: Any, _kwargs: Any) -> None:
        for p, state in optimizer.state.items():
            path, module, what = self._owner(self.names.get(id(p), ""))
            for name, value in state.items():
                if isinstance(value, Tensor) and value.is_floating_point():
                    self._check("optimizer_state", path, module, f"{what}: {name}", value)
        self._weights("weight")

    def _weights(self, kind: Kind) -> None:
        for name, p in self.training.model.named_parameters():
            self._check(kind, *self._owner(name), p)

    def _owner(self, name: str) -> tuple[str, nn.Module | None, str]:
        path, _, what = name.rpartition(".")
        return path, self.training.model.get_submodule(path) if name else None, what

    def _check(self, kind: Kind, path: str | None, module: nn.Module | None, what: str, tensor: Tensor) -> None:
        """Record the first only; return None, so that a gradient hook leaves the gradient unchanged."""
        if self.found is not None or not tensor.is_floating_point():
            return
        with torch.no_grad():
            bad = ~torch.isfinite(tensor.detach())
            if not bool(bad.any()):
                return
            chosen: list[int] = []
            of_rows = kind in ("input", "output") or (kind == "gradient" and what.startswith("output"))
            if of_rows and bad.dim() and len(bad) == self.rows > 1:
                chosen = (bad.reshape(len(bad), -1).any(1).nonzero().flatten() + self.seen).tolist()
            nan = bool(torch.isnan(tensor).any())
            name = type(module).__name__ if module is not None else None
            counts = (int(bad.sum()), bad.numel())
            self.found = NonFinite(kind, path, name, what, nan, *counts, tuple(chosen))
