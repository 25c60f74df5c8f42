"""Precision of the forward pass, and the loss scaling that fp16 needs.

bf16 has fp32's range and needs nothing. fp16's smallest gradients would vanish, so the loss is scaled up and the
gradients down again (Micikevicius et al. 2018, arXiv:1710.03740, section 3.2). Where that overflows, the update is left
out, for every optimizer of the run alike, and the scale is halved. Such a step keeps its number and its loss,
`skipped_steps` counts it, and the schedule does not advance: its update s is the s-th that changed the weights.
Evaluations are fp32.
"""

import contextlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from service.spec.training import Precision as Word
from worker.trainer.data.memory_mapped import Table
from worker.trainer.metrics import Metrics

DTYPE = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """What a run does differently from fp32; with fp32 nothing."""

    def __init__(self, word: Word, device: torch.device) -> None:
        self.dtype, self.device, self.skipped = DTYPE.get(word), device, 0
        self.scaler = torch.amp.GradScaler(device.type) if word == "fp16" else None
        self.scale = 0.0 if self.scaler is None else self.scaler.get_scale()  # the host's copy

    def forward(self) -> contextlib.AbstractContextManager[Any]:
        """Around everything that computes outputs and losses."""
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def try_out(self, model: nn.Module, x: Table) -> None:
        """Raise now, while the spec is built, where this machine lacks a layer in this precision."""
        if self.dtype is not None:
            training = model.training
            with torch.no_grad(), self.forward():
                model.eval()(x[:2])  # draws nothing, changes nothing
            model.train(training)

    def scaled(self, loss: Tensor) -> Tensor:
        """What to go backward from."""
        return loss if self.scaler is None else self.scaler.scale(loss)

    def unscale(self, optimizers: Iterable[Optimizer]) -> bool:
        """Make the gradients true again; False: they overflowed, and this update is to be left out.

        Asks the device for the new scale, which costs fp16 one wait per step.
        """
        if self.scaler is None:
            return True
        for optimizer in optimizers:
            self.scaler.unscale_(optimizer)
        self.scaler.update()  # it falls if and only if a gradient was not finite
        before, self.scale = self.scale, self.scaler.get_scale()
        self.skipped += self.scale < before
        return self.scale >= before

    def metrics(self) -> Metrics:
        """How many updates were left out so far."""
        return {} if self.scaler is None else {"skipped_steps": float(self.skipped)}

    def document(self) -> dict[str, Any] | None:
        """The state as JSON; None where there is none."""
        return None if self.scaler is None else {"skipped": self.skipped, "scaler": self.scaler.state_dict()}

    def load(self, document: dict[str, Any] | None) -> None:
        """The reverse of `document`."""
        if self.scaler is not None and document is not None:
            self.skipped = document["skipped"]
            self.scaler.load_state_dict(document["scaler"])
            self.scale = self.scaler.get_scale()
