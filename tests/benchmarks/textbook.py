"""A run through Saddle against the loop that a person would write: `python -m tests.benchmarks.textbook`.

The yardstick is PyTorch's own tutorial loop on the same data: DataLoader over a TensorDataset, shuffled, an optimizer
with torch's defaults, nothing recorded. Ours is the whole run through the real worker, from the claim to the last
commit: building, recording every step, the last checkpoint; eager and with `compile: true` (whose translation is
inside, too; "warm" has it in the cache on disk). Both on one thread, taking turns; medians of the rounds.
"""

import argparse
import json
import statistics
import time
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from service.spec.experiment import Experiment
from tests.benchmarks.recording import product
from worker.trainer.loop import prepare

SPEC: dict[str, Any] = {
    "dataset": {"kind": "digits", "validation": 0},
    "model": {"kind": "mlp", "hidden": [128]},
    "loss": {"kind": "cross_entropy"},
    "batch_size": 64,
}
OPTIMIZERS: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


def textbook(spec: Experiment, optimizer: str) -> float:
    """Seconds of the tutorial's loop."""
    training = prepare(spec.model_copy(update={"batch_size": "full"}), 0, torch.device("cpu"))
    x, y = training.batches.x, training.batches.y
    assert isinstance(x, torch.Tensor)
    assert isinstance(y, torch.Tensor)
    x = x.flatten(1)
    torch.set_deterministic_debug_mode("default")  # as a tutorial leaves it; preparing the data set it
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    criterion = nn.CrossEntropyLoss()
    stepper = OPTIMIZERS[optimizer](model.parameters(), lr=1e-3)
    loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    began, done = time.perf_counter(), 0
    while done < spec.total_steps:
        for inputs, targets in loader:
            stepper.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            stepper.step()
            done += 1
            if done == spec.total_steps:
                break
    return time.perf_counter() - began


def spec_of(optimizer: str, steps: int, compiled: bool) -> Experiment:
    """The run as posted."""
    changes = {"optimizer": {"kind": optimizer, "lr": 1e-3}, "steps": steps, "compile": compiled}
    return Experiment.model_validate_json(json.dumps(SPEC | changes))


def main() -> None:
    """Print how many times as fast ours is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=30_000)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with product() as durable:
        for optimizer in OPTIMIZERS:
            cold = durable(spec_of(optimizer, 100, True))
            print(f"{optimizer}: the first compiled run of 100 steps takes {cold:.1f} s", flush=True)
            rounds = [one_round(optimizer, arguments.steps, durable) for _ in range(arguments.rounds)]
            for way in rounds[0]:
                ratios = sorted(each[way] for each in rounds)
                middle = statistics.median(ratios)
                print(f"{optimizer:5} {way:9} median {middle:.2f} x   {ratios[0]:.2f} to {ratios[-1]:.2f}", flush=True)


def one_round(optimizer: str, steps: int, durable: Any) -> dict[str, float]:
    """The yardstick on both sides of each way."""
    found = {}
    before = textbook(spec_of(optimizer, steps, False), optimizer)
    for way, compiled in (("eager", False), ("compiled", True)):
        spent = durable(spec_of(optimizer, steps, compiled))
        after = textbook(spec_of(optimizer, steps, False), optimizer)
        found[way] = (before + after) / 2 / spent
        before = after
    return found


if __name__ == "__main__":
    main()
