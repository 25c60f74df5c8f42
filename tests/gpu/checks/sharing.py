"""Sharing a device: runs an hour of 1, 2, 4 and 8 trainers with small models."""

import tempfile
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from service.spec.experiment import Experiment
from tests.gpu.check import device, main
from tests.gpu.trainers import Trainer, seconds_of, used_mib, warm_trainers

LIMIT_S = 90
RUNS_ON_CPU = True
GAIN = 4.0  # of 8 trainers over one
SPEC: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": (128,)},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "adam"},
    "batch_size": 64,
}


def check() -> dict[str, float | str]:
    """Train the same spec on ever more trainers; 8 share a GPU well enough for 4 times the runs of one."""
    on = device()
    counts, runs, steps = ((1, 2, 4, 8), 3, 2000) if on.type == "cuda" else ((1, 2), 1, 100)
    spec = Experiment.model_validate(SPEC | {"steps": steps}).normalised()
    figures: dict[str, float | str] = {}
    hourly: dict[int, float] = {}
    before = used_mib(on, [])
    with warm_trainers(counts[-1], on) as trainers, tempfile.TemporaryDirectory() as folder:
        for count in counts:
            train_all(trainers[:count], spec, folder, 1)  # every trainer's first real run is outside the time
            seconds = seconds_of(lambda count=count: train_all(trainers[:count], spec, folder, runs), on)
            hourly[count] = count * runs / seconds * 3600
            figures[f"runs an hour, {count}"] = hourly[count]
        figures[f"MiB, {counts[-1]}"] = used_mib(on, trainers) - before
    figures["gain"] = hourly[counts[-1]] / hourly[1]
    assert on.type == "cpu" or figures["gain"] >= GAIN, f"8 trainers make less than {GAIN} times the runs: {figures}"
    return figures


def train_all(trainers: list[Trainer], spec: dict[str, Any], folder: str, runs: int) -> None:
    """Let every trainer make so many runs, all at once."""

    def make_runs(number: int) -> None:
        for seed in range(runs):
            trainers[number].run(spec, f"{folder}/{number}", seed)

    with ThreadPoolExecutor(len(trainers)) as pool:
        list(pool.map(make_runs, range(len(trainers))))


if __name__ == "__main__":
    main(check)
