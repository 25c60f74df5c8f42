"""What a checkpoint costs the training: `python -m tests.benchmarks.checkpoints`.

`in the loop`: the training writes it itself. `beside`: the training copies its state, and a thread writes the copy.
`waits` is how long the training stands still. `slower` is how much longer the next steps take than without a
checkpoint, which also shows what the thread takes of the processors. Medians of the rounds, of which the first, with
cold memory, is left out. `torch.distributed.checkpoint` writes the same tensors, without a hash and a rename.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint

from service.spec.experiment import Experiment
from worker.trainer.checkpoints import checkpoint
from worker.trainer.checkpoints.writer import CheckpointWriter
from worker.trainer.loop import Training, prepare, train

SPEC: dict[str, Any] = {
    "dataset": {"kind": "digits", "validation": 0.0},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "adam"},
    "batch_size": 64,
    "steps": 1_000_000,
    "probes": (),
}
WIDTHS = {50: 2048, 200: 4096}  # MiB of the state -> hidden units of each of two layers


def main() -> None:
    """Print medians over rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--mib", type=int, choices=WIDTHS, default=200)
    parser.add_argument("--steps", type=int, default=8, help="steps that are timed after a checkpoint")
    parser.add_argument("--folder", default=".", help="on the disk to measure")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    width = WIDTHS[arguments.mib]
    model = {"kind": "mlp", "hidden": (width, width)}
    training = prepare(Experiment.model_validate(SPEC | {"model": model}), 0, torch.device("cpu"))
    steps = train(training)
    next(steps)
    writer = CheckpointWriter(Path(arguments.folder), lambda: None)
    taken: dict[str, list[float]] = {}
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            found = one_round(training, steps, writer, Path(folder), arguments.steps)
        for name, seconds in found.items():
            taken.setdefault(name, []).extend([seconds] if number else [])
    middle = {name: statistics.median(values) for name, values in taken.items()}
    size = sum(tensor.nbytes for tensor in checkpoint.snapshot(training)[0].values()) / 2**20
    print(f"{size:.0f} MiB; the {arguments.steps} steps take {middle.pop('steps') * 1e3:.0f} ms")
    for name, seconds in middle.items():
        print(f"{name:40} {seconds * 1e3:7.1f} ms, {seconds / middle['in the loop, waits']:7.1%}")


def one_round(
    training: Training, steps: Iterator[Any], writer: CheckpointWriter, folder: Path, count: int
) -> dict[str, float]:
    """Seconds of each way, and of the steps alone."""
    found = {"steps": timed(lambda: advance(steps, count))}
    found["in the loop, waits"] = timed(lambda: checkpoint.save(folder, training, {}))
    writer.folder = folder
    found["beside, waits"] = timed(lambda: writer.start(writer.copy(training, {}), lambda result: None))
    found["beside, slower"] = timed(lambda: advance(steps, count)) - found["steps"]
    writer.wait()
    tensors = checkpoint.snapshot(training)[0]
    found["torch.distributed.checkpoint, waits"] = timed(
        lambda: torch.distributed.checkpoint.save(tensors, checkpoint_id=folder / "dcp", no_dist=True)
    )
    return found


def advance(steps: Iterator[Any], count: int) -> None:
    """Make so many steps."""
    for _ in range(count):
        next(steps)


def timed(work: Callable[[], object]) -> float:
    """Seconds of the work."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
