"""Checkpoints beside the training hold the state of their step; how long the training waits."""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from service.spec.experiment import Experiment
from tests.gpu.check import device, main
from tests.gpu.trainers import MIB, seconds_of
from worker.trainer.checkpoints import checkpoint
from worker.trainer.checkpoints.checkpoint import Saved
from worker.trainer.checkpoints.writer import CheckpointWriter
from worker.trainer.loop import prepare, train

LIMIT_S = 40
RUNS_ON_CPU = True
SHARE = 0.05  # of the time of a write, which the training waits at most
ROUNDS = 4
STEPS_MEANWHILE = 20
SPEC: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "adam"},
    "batch_size": 64,
    "steps": 10_000,
    "probes": (),
}


def check() -> dict[str, float | str]:
    """Write the same state in the loop and beside it, and compare the hashes; the first round warms the memory."""
    on = device()
    width = 4096 if on.type == "cuda" else 64
    training = prepare(Experiment.model_validate(SPEC | {"model": {"kind": "mlp", "hidden": (width, width)}}), 0, on)
    steps = train(training)
    waits, writes, sizes = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        writer = CheckpointWriter(Path(folder), lambda: None)
        for _ in range(ROUNDS):
            next(steps)
            direct: list[Saved] = []
            writes.append(seconds_of(lambda: direct.append(checkpoint.save(Path(folder), training, {})), on))  # noqa: B023
            results: list[Saved | OSError] = []
            began = time.perf_counter()  # not until the device is done: the training does not wait for it
            writer.start(writer.copy(training, {}), results.append)
            waits.append(time.perf_counter() - began)
            for _ in range(STEPS_MEANWHILE):
                next(steps)
            writer.wait()
            beside = results[0]
            assert isinstance(beside, Saved), beside
            assert beside.sha256 == direct[0].sha256, "the state that was written beside the training is another one"
            sizes.append(beside.size_bytes)
    share = statistics.median(waits[1:]) / statistics.median(writes[1:])
    figures: dict[str, float | str] = {"MiB": sizes[0] / MIB, "ms to write": statistics.median(writes[1:]) * 1e3}
    figures |= {"ms that the training waits": statistics.median(waits[1:]) * 1e3, "waits / write": share}
    assert on.type == "cpu" or share <= SHARE, f"the training waits too long: {figures}"
    return figures


if __name__ == "__main__":
    main(check)
