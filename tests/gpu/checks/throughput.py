"""Throughput of a ResNet and a 10M transformer, recorded, against a plain loop and Lightning."""

import json
import os
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from service.spec.experiment import Experiment
from tests.gpu import datasets
from tests.gpu.check import device, main
from tests.gpu.lightning_loop import lightning_seconds
from tests.gpu.trainers import seconds_of
from worker.protocol import TrainRequest
from worker.trainer.channel import Channel
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.data.memory_mapped import RowTensor
from worker.trainer.loop import Training, prepare, train
from worker.trainer.session import Session

LIMIT_S = 100
RUNS_ON_CPU = True
OVERHEAD = 1.01  # of recording, on the ResNet
WARM_STEPS = 10
ROUNDS = 3


def check() -> dict[str, float | str]:
    """Time the same steps in every way, in turns, in bf16 on a GPU; ours are not slower than those of a plain loop."""
    on = device()
    figures: dict[str, float | str] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, spec in subjects(Path(folder), on).items():
            files = DatasetFolders(Path(folder), 2**40)
            ways: dict[str, Callable[[], float]] = {
                "recorded": lambda spec=spec, files=files: recorded(prepare(spec, 0, on, files), folder),
                "unrecorded": lambda spec=spec, files=files: unrecorded(prepare(spec, 0, on, files)),
                "plain": lambda spec=spec, files=files: plain(prepare(spec, 0, on, files)),
            }
            if find_spec("lightning"):
                ways["Lightning"] = lambda spec=spec, files=files: as_lightning(prepare(spec, 0, on, files))
            figures |= compare(spec.total_steps, ways, name, ROUNDS if on.type == "cuda" else 1)
    figures["Lightning"] = "measured" if find_spec("lightning") else "not installed"
    broken = [name for name, value in figures.items() if name.endswith("/ recorded") and round(float(value), 2) < 1]
    if float(figures["resnet: recorded / unrecorded"]) > OVERHEAD:
        broken.append("resnet: recorded / unrecorded")
    assert on.type == "cpu" or not broken, f"{', '.join(broken)}: {figures}"
    return figures


def subjects(folder: Path, on: torch.device) -> dict[str, Experiment]:
    """A ResNet on CIFAR's shapes and a transformer of about 10M parameters; on a CPU tiny ones."""
    large = on.type == "cuda"
    image_rows, width, blocks, batch = (20_000, 64, 2, 256) if large else (200, 4, 1, 16)
    letters, context, size, layers = (2_000_000, 256, 384, 6) if large else (4_000, 16, 16, 1)
    steps = 120 if large else 12
    resnet: dict[str, Any] = {"dataset": datasets.images(folder, image_rows), "batch_size": batch}
    resnet |= {"model": {"kind": "resnet", "width": width, "blocks": blocks}, "optimizer": {"kind": "sgd", "lr": 0.01}}
    transformer: dict[str, Any] = {"dataset": datasets.text(folder, letters, context), "batch_size": 64 if large else 8}
    transformer["model"] = {"kind": "transformer", "width": size, "layers": layers, "heads": size // 64 or 2}
    transformer["model"] |= {"vocabulary": len(datasets.LETTERS), "outputs_at": "every", "causal": True}
    transformer["optimizer"] = {"kind": "adamw", "lr": 3e-4}
    common: dict[str, Any] = {"loss": {"kind": "cross_entropy"}, "steps": steps + WARM_STEPS, "probes": []}
    common["precision"] = "bf16" if large else "fp32"
    documents = {"resnet": resnet | common, "transformer": transformer | common}
    return {name: Experiment.model_validate_json(json.dumps(each)) for name, each in documents.items()}


def compare(steps: int, ways: dict[str, Callable[[], float]], name: str, rounds: int) -> dict[str, float | str]:
    """Return the steps a second of each way, and the ratios to ours: medians of rounds in which they take turns."""
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, seconds in ways.items():
            taken[way].append(seconds())
    median = {way: statistics.median(values) for way, values in taken.items()}
    figures: dict[str, float | str] = {
        f"{name}: steps/s, {way}": (steps - WARM_STEPS) / seconds for way, seconds in median.items()
    }
    figures[f"{name}: recorded / unrecorded"] = median["recorded"] / median["unrecorded"]  # seconds
    others = [way for way in ways if way not in ("recorded", "unrecorded")]
    return figures | {f"{name}: {way} / recorded": median[way] / median["recorded"] for way in others}


def unrecorded(training: Training) -> float:
    """Seconds of the steps after the first few, with nothing read."""
    steps = train(training)
    for _ in range(WARM_STEPS):
        next(steps)
    return seconds_of(lambda: sum(1 for _ in steps), training.device)


def recorded(training: Training, folder: str) -> float:
    """The same with a trainer's session: recorder, flusher and a pipe that somebody reads."""
    inward, _ = os.pipe()
    reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert reader.stdin is not None
    request = TrainRequest(spec={}, seed=0, threads=1, flush_s=0.2, checkpoint_s=1e9, folder=folder)
    session = Session(request, training, Channel(inward, os.dup(reader.stdin.fileno())))
    total, session.total = session.total, WARM_STEPS
    with session._flusher():
        session._train()
        session.total = total
        seconds = seconds_of(session._train, training.device)
    reader.kill()
    reader.wait()
    return seconds


def plain(training: Training) -> float:
    """The loop that a person writes over rows on the device; it reads no loss."""
    step, batches = plain_step(training), plain_batches(training)
    with usual_settings():
        for _ in range(WARM_STEPS):
            step(*next(batches))
        steps = training.spec.total_steps - WARM_STEPS
        return seconds_of(lambda: [step(*next(batches)) for _ in range(steps)] and None, training.device)


def plain_step(training: Training) -> Callable[[Tensor, Tensor], None]:
    """Return a function that makes one update with torch's own optimizer."""
    model, criterion, kind = training.model.train(), training.criterion, training.device.type
    classes: dict[str, Any] = {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}
    optimizer = classes[training.spec.optimizer.kind](model.parameters(), lr=1e-3)

    def step(x: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        with torch.autocast(kind, torch.bfloat16, enabled=training.spec.precision == "bf16"):
            loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()

    return step


def _whole(rows: RowTensor) -> Tensor:
    """Return all rows as one tensor on their device."""
    return rows if isinstance(rows, Tensor) else rows.index_select(0, torch.arange(len(rows), device=rows.device))


def plain_batches(training: Training) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled batches without end."""
    x, y, rows = _whole(training.batches.x), _whole(training.batches.y), training.batches.rows
    while True:
        for chosen in torch.randperm(len(x), device=x.device).split(rows):
            yield x[chosen], y[chosen]


@contextmanager
def usual_settings() -> Iterator[None]:
    """Torch as it starts, without deterministic kernels."""
    deterministic, cudnn = torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        torch.backends.cudnn.deterministic = cudnn


def as_lightning(training: Training) -> float:
    """The same model and rows under Lightning's Trainer."""
    with usual_settings():
        return lightning_seconds(training, WARM_STEPS)


if __name__ == "__main__":
    main(check)
