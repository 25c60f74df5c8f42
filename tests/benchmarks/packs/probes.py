"""What the default probes of a short pack cost: `python -m tests.benchmarks.packs.probes [--batch 16] [--steps 1000]`.

The same 64 digits MLPs trained by `run_pack` with the default probes and without, in turns in one process: processor
time of building, training, evaluating and saving, and the frames of the points. `--profile` shows where the time goes.
"""

import argparse
import cProfile
import gc
import json
import pstats
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch

from service.spec.experiment import Experiment
from service.spec.probes import DEFAULT_PROBES
from worker.protocol import Frame, Points, Stop, TrainRequest
from worker.trainer.pack.session import run_pack

CPU = torch.device("cpu")


class Link:
    """Counts the bytes of points."""

    def __init__(self) -> None:
        self.stop: Stop | None = None
        self.bytes = 0

    def send(self, frame: Frame) -> None:
        if isinstance(frame, Points):
            self.bytes += len(frame.payload)

    def member(self, lease: str) -> "Link":
        return self


def requests(folder: Path, given: argparse.Namespace, probed: bool) -> list[TrainRequest]:
    """One request a run; rates differ, and with `--seeds` the batches too."""
    made = []
    for at in range(given.runs):
        document: dict[str, Any] = {
            "dataset": {"kind": "digits"},
            "model": {"kind": "mlp", "hidden": [128]},
            "loss": {"kind": "cross_entropy"},
            "optimizer": {"kind": given.optimizer, "lr": 0.001 * (1 + at / given.runs)},
            "batch_size": given.batch,
            "steps": given.steps,
            "diagnose": "never",
        }
        spec = Experiment.model_validate_json(json.dumps(document | ({} if probed else {"probes": []})))
        made.append(
            TrainRequest(
                lease=str(at),
                spec=spec.normalised(),
                seed=at if given.seeds else 0,
                folder=str(folder / str(at)),
                threads=1,
                flush_s=0.2,
                checkpoint_s=1e9,
            )
        )
    return made


def measure(given: argparse.Namespace, probed: bool) -> float:
    """Processor seconds of a pack."""
    with tempfile.TemporaryDirectory() as folder:
        made = requests(Path(folder), given, probed)
        began = time.process_time()
        run_pack(made, CPU, Link())
        spent_s = time.process_time() - began
    return spent_s


def main() -> None:
    """Print processor seconds in pairs, and the ratio of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--optimizer", default="sgd")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seeds", action="store_true", help="each run has a seed of its own")
    parser.add_argument("--profile", action="store_true", help="print a profile of a pack with probes")
    given = parser.parse_args()
    assert DEFAULT_PROBES
    measure(given, True)
    gc.freeze()  # as a trainer does
    if given.profile:
        profile = cProfile.Profile()
        profile.runcall(measure, given, True)
        for order in ("tottime", "cumulative"):
            pstats.Stats(profile).sort_stats(order).print_stats(45)
        return
    pairs = [(measure(given, False), measure(given, True)) for _ in range(given.rounds)]
    for without, with_probes in pairs:
        print(f"without {without:.2f} s, with {with_probes:.2f} s, {with_probes / without:.2f} times", flush=True)
    print(f"median {median(b / a for a, b in pairs):.2f} times, {median(b - a for a, b in pairs):.2f} s more")


if __name__ == "__main__":
    main()
