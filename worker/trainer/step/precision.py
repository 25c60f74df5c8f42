"""Precision of the forward pass, and the loss scaling that fp16 needs.

tf32 is a setting of the process (`worker.trainer.numerics`). bf16 has fp32's range and needs no scaling. fp16's
smallest gradients would vanish, so the loss is scaled up and the gradients are scaled back (Micikevicius et al. 2018,
arXiv:1710.03740, section 3.2). On overflow the update is skipped, for all optimizers of the run, and the scale is
halved. Such a step keeps its number and its loss, `skipped_steps` counts it, and the schedule does not advance: its
update s is the s-th that changed the weights. Evaluations use the same precision.
"""

import contextlib
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from service.spec.training import Precision as Word
from worker.trainer.data.memory_mapped import RowTensor
from worker.trainer.metrics import Metrics

DTYPE = {"bf16": torch.bfloat16, "fp16": torch.float16}


MIN_SCALE = 2.0**-126  # below it the inverse overflows: no gradient can be unscaled


class Precision:
    """The autocast and loss scaling of a run; neither in fp32."""

    def __init__(self, word: Word, device: torch.device) -> None:
        self.dtype, self.device, self.skipped = DTYPE.get(word), device, 0
        self.scaler = torch.amp.GradScaler(device.type) if word == "fp16" else None
        self.scale = 0.0 if self.scaler is None else self.scaler.get_scale()  # cached on the host

    def forward(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context in which outputs and losses are computed."""
        if self.dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def check_supported(self, model: nn.Module, x: RowTensor) -> None:
        """Run two rows, so that a layer this machine lacks in this precision fails while the spec is built."""
        if self.dtype is not None:
            training = model.training
            with torch.no_grad(), self.forward():
                model.eval()(x[:2])  # no side effects
            model.train(training)

    def scaled(self, loss: Tensor) -> Tensor:
        """Return the loss to backpropagate."""
        return loss if self.scaler is None else self.scaler.scale(loss)

    def unscale(self, optimizers: Iterable[Optimizer]) -> bool:
        """Unscale the gradients; return False if they overflowed and the update must be skipped.

        Reads the new scale from the device, one wait per step in fp16.
        """
        if self.scaler is None:
            return True
        for optimizer in optimizers:
            self.scaler.unscale_(optimizer)
        self.scaler.update()  # it falls if and only if a gradient was not finite, until it is 0
        before, self.scale = self.scale, self.scaler.get_scale()
        finite = self.scale >= max(before, MIN_SCALE)
        self.skipped += not finite
        return finite

    def metrics(self) -> Metrics:
        """Return how many updates were skipped so far."""
        return {} if self.scaler is None else {"skipped_steps": float(self.skipped)}

    def document(self) -> dict[str, Any] | None:
        """Return the state as JSON; None where there is none."""
        return None if self.scaler is None else {"skipped": self.skipped, "scaler": self.scaler.state_dict()}

    def load(self, document: dict[str, Any] | None) -> None:
        """Restore the state."""
        if self.scaler is not None and document is not None:
            self.skipped = document["skipped"]
            self.scaler.load_state_dict(document["scaler"])
            self.scale = self.scaler.get_scale()
