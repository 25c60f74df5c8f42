"""The same training under Lightning's Trainer, where it is installed; it logs and saves nothing."""

import logging
import time
import warnings
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from worker.trainer.loop import Training


def lightning_seconds(training: Training, warm_steps: int) -> float:
    """Seconds of the steps after the first few."""
    import lightning as L

    class Module(L.LightningModule):
        """The model with torch's own optimizer."""

        def __init__(self) -> None:
            super().__init__()
            self.model, self.criterion = training.model, training.criterion

        def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
            x, y = batch
            loss: Tensor = self.criterion(self.model(x), y)
            return loss

        def configure_optimizers(self) -> Any:
            classes: dict[str, Any] = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}
            return classes[training.spec.optimizer.kind](self.parameters(), lr=1e-3)

    class Clock(L.Callback):
        """Starts after the warm steps, ends with the last."""

        began = ended = 0.0

        def on_train_batch_start(self, trainer: Any, module: Any, batch: Any, number: int) -> None:
            if trainer.global_step == warm_steps:
                self.began = _now(training.device)

        def on_train_end(self, trainer: Any, module: Any) -> None:
            self.ended = _now(training.device)

    clock, x, y = Clock(), training.batches.x, training.batches.y
    assert isinstance(x, Tensor)
    assert isinstance(y, Tensor)
    loader = DataLoader(TensorDataset(x.cpu(), y.cpu()), training.batches.rows, shuffle=True, pin_memory=x.is_cuda)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = L.Trainer(
            accelerator="gpu" if x.is_cuda else "cpu",
            devices=1,
            max_steps=training.spec.total_steps,
            max_epochs=-1,
            precision="bf16-mixed" if training.spec.precision == "bf16" else "32-true",
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[clock],
        )
        trainer.fit(Module(), loader)
    return clock.ended - clock.began


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
