"""A dataset that stays on disk trains to the same losses as one in memory; steps a second of both."""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch

from service.spec.experiment import Experiment
from tests.gpu import datasets
from tests.gpu.check import device, main
from tests.gpu.trainers import seconds_of
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.loop import Training, prepare, train

LIMIT_S = 45
RUNS_ON_CPU = True
WARM_STEPS = 5


def check() -> dict[str, float | str]:
    """Train a ResNet on drawn images, once from memory and once from the memory-mapped file."""
    on = device()
    rows, width, batch, steps = (20_000, 32, 256, 150) if on.type == "cuda" else (300, 4, 16, 20)
    losses: dict[str, list[torch.Tensor]] = {}
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        document: dict[str, Any] = {"dataset": datasets.images(Path(folder), rows), "batch_size": batch}
        document |= {"model": {"kind": "resnet", "width": width}, "loss": {"kind": "cross_entropy"}}
        document |= {"optimizer": {"kind": "sgd", "lr": 0.01}, "steps": steps, "probes": []}
        spec = Experiment.model_validate_json(json.dumps(document))
        for name, resident_bytes in (("resident", 2**40), ("mapped", 0)):
            training = prepare(spec, 0, on, DatasetFolders(Path(folder), resident_bytes))
            losses[name], rates[name] = train_timed(training)
    assert torch.equal(*(torch.stack(each) for each in losses.values())), "rows on disk give other losses"
    figures: dict[str, float | str] = {f"steps/s, {name}": rate for name, rate in rates.items()}
    return figures | {"mapped / resident": rates["mapped"] / rates["resident"]}


def train_timed(training: Training) -> tuple[list[torch.Tensor], float]:
    """Return every loss, and the steps a second after the first few."""
    steps = train(training)
    losses = [next(steps).loss.clone() for _ in range(WARM_STEPS)]
    seconds = seconds_of(lambda: losses.extend(step.loss.clone() for step in steps), training.device)
    return losses, (len(losses) - WARM_STEPS) / seconds


if __name__ == "__main__":
    main(check)
