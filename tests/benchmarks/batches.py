"""Batches by index from rows on the device, against a DataLoader: `python -m tests.benchmarks.batches`.

Digits, batch 64, an epoch at a time, the contestants in turn so that other work on the machine meets all of them. What
is timed is getting every batch of an epoch onto the device, first without a model, then with the step of a small one.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from service.spec.datasets.bundled import Digits
from worker.trainer.data.batches import Batches
from worker.trainer.data.split import split_dataset

ROWS = 64
Epoch = Callable[[int], Iterable[tuple[Tensor, Tensor]]]


def contestants(device: torch.device) -> dict[str, Epoch]:
    """Name -> the batches of epoch e, on the device."""
    part = split_dataset(Digits()).train
    x, y = torch.from_numpy(part.x), torch.from_numpy(part.y)
    batches = Batches(x.to(device), y.to(device), ROWS, seed=0)

    def by_index(epoch: int) -> Iterable[tuple[Tensor, Tensor]]:
        first = epoch * batches.per_epoch + 1
        return (batches.batch(step) for step in range(first, first + batches.per_epoch))

    def loader(**options: Any) -> Epoch:
        usual = {"batch_size": None} if "sampler" in options else {"batch_size": ROWS, "shuffle": True}
        made = DataLoader(TensorDataset(x, y), **usual, **options)
        return lambda epoch: ((a.to(device), b.to(device)) for a, b in made)

    order = BatchSampler(RandomSampler(range(len(x))), ROWS, drop_last=False)
    return {
        "index batches": by_index,
        "DataLoader, 0 workers": loader(num_workers=0),
        "DataLoader, whole batches": loader(num_workers=0, sampler=order),
        "DataLoader, 2 workers": loader(num_workers=2),
        "DataLoader, 2 kept workers": loader(num_workers=2, persistent_workers=True),
    }


def stepping(device: torch.device) -> Callable[[Tensor, Tensor], object]:
    """A training step of an MLP 64-128-10."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)).to(device)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(x: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return step


def seconds(epoch: Epoch, number: int, use: Callable[[Tensor, Tensor], object], device: torch.device) -> float:
    """Of one epoch, up to the device's last operation."""
    start = time.perf_counter()
    for x, y in epoch(number):
        use(x, y)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def main() -> None:
    """Print milliseconds an epoch and how many times ours; the least ones suffer least from other work."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    torch.set_num_threads(1)
    made = contestants(device)
    uses: dict[str, Callable[[Tensor, Tensor], object]] = {"batches alone": lambda x, y: None}
    uses["with a step"] = stepping(device)
    for what, use in uses.items():
        taken: dict[str, list[float]] = {name: [] for name in made}
        for number in range(arguments.rounds + 1):
            for name, epoch in made.items():
                taken[name].append(seconds(epoch, number, use, device))
        ours = taken["index batches"][1:]
        for name, values in taken.items():
            median, least = statistics.median(values[1:]), min(values[1:])
            print(
                f"{what:14} {name:27} median {median * 1e3:8.2f} ms, {median / statistics.median(ours):6.1f} times   "
                f"least {least * 1e3:8.2f} ms, {least / min(ours):6.1f} times"
            )


if __name__ == "__main__":
    main()
