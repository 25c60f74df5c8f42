"""Two devices train a run as one does: by NCCL on two GPUs, else by Gloo on the CPU."""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from service.spec.experiment import Experiment
from tests.gpu.check import device, main
from tests.gpu.trainers import Trainer
from worker.protocol import Ended, Frame, Points, Ready, TrainRequest

LIMIT_S = 60
RUNS_ON_CPU = True
STEPS = 20
CLOSE = {"cpu": 1e-6, "cuda": 1e-4}  # difference of a loss; kernels of half a batch may sum in another order
MODELS: dict[str, dict[str, Any]] = {
    "cnn, batch norm": {"kind": "cnn", "channels": (8, 16), "norm": "batch"},
    "transformer": {"kind": "transformer", "width": 32, "heads": 2, "layers": 2},
}


def check() -> dict[str, float | str]:
    """Train each model on one device and on two, and compare the losses of all steps."""
    two_gpus = device().type == "cuda" and torch.cuda.device_count() > 1
    on = device() if two_gpus else torch.device("cpu")
    figures: dict[str, float | str] = {"backend": "nccl" if two_gpus else "gloo"}
    with tempfile.TemporaryDirectory() as folder:
        alone, together = Trainer(on), Trainer(on, ranks=2)
        try:
            for trainer in (alone, together):
                trainer.wait(Ready)
            for name, model in MODELS.items():
                found: list[Any] = []
                for devices, trainer in enumerate((alone, together), 1):
                    first = losses(trainer, model, devices, Path(folder))
                    began = time.perf_counter()
                    again = losses(trainer, model, devices, Path(folder))
                    figures[f"{name}: ms a step, {devices}"] = 1000 * (time.perf_counter() - began) / STEPS
                    assert np.array_equal(first, again), f"{name}: a run on {devices} differs from its repetition"
                    found.append(first)
                apart = float(np.abs(found[0] - found[1]).max())
                figures[f"{name}: difference"] = apart
                assert apart <= CLOSE[on.type], f"{name}: two devices differ from one by {apart}"
        finally:
            for trainer in (alone, together):
                trainer.kill()
    return figures


def losses(trainer: Trainer, model: dict[str, Any], devices: int, folder: Path) -> Any:
    """Train; return the losses of all steps."""
    document = {"dataset": {"kind": "digits"}, "model": model, "loss": {"kind": "cross_entropy"}, "steps": STEPS}
    document |= {"optimizer": {"kind": "sgd", "lr": 0.05, "momentum": 0.9}, "batch_size": 64, "probes": []}
    document |= {"resources": {"devices": devices}}
    spec = Experiment.model_validate_json(json.dumps(document)).normalised()
    trainer.send(TrainRequest(spec=spec, seed=0, threads=1, flush_s=0.2, checkpoint_s=60.0, folder=str(folder)))
    found: list[Any] = []
    frame: Frame = trainer.wait(Points, Ended)
    while isinstance(frame, Points):
        at = 0
        for series in frame.series:
            at += 0 if series["every"] else 8 * series["n"]
            values = np.frombuffer(frame.payload, "<f8", series["n"], at)
            at += 8 * series["n"]
            if series["name"] == "loss":
                found.append(values)
        frame = trainer.wait(Points, Ended)
    return np.concatenate(found)


if __name__ == "__main__":
    main(check)
