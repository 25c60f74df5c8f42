"""What warming a spare trainer costs the run that trains beside it, and what the processes of a worker take of memory.

python -m tests.benchmarks.spare --rounds 5
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from service.settings import Settings
from service.spec.experiment import Experiment
from worker.protocol import Died, Points, TrainRequest
from worker.supervisor.claim_loop import Supervisor
from worker.supervisor.trainer_process import TrainerProcess

SPEC: dict[str, Any] = {"dataset": {"kind": "digits"}, "model": {"kind": "mlp", "hidden": (128,)}}
SPEC |= {"loss": {"kind": "cross_entropy"}, "optimizer": {"kind": "adam"}, "batch_size": 64, "steps": 10_000_000}
ALONE_S = 4.0


def main() -> None:
    """Alternate between a run alone, and with a spare that warms up gently and at full speed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rounds = parser.add_argument("--rounds", type=int, default=5) and parser.parse_args().rounds
    settings = Settings(database_url="postgresql+psycopg://nobody@/nowhere")
    supervisor = Supervisor(settings)  # what it imports is what a worker's own process holds, Celery aside
    first = TrainerProcess.start(supervisor.settings)
    first.ready.wait()
    sys.stdout.write(f"MiB of a supervisor {mebibytes('self')}, of a warm trainer {mebibytes(first.pid)}\n")
    with tempfile.TemporaryDirectory() as folder:
        spec = Experiment.model_validate(SPEC).normalised()
        first.send(TrainRequest(spec=spec, seed=0, threads=1, flush_s=0.1, checkpoint_s=1e9, folder=folder))
        rate(first, ALONE_S)
        found: dict[str, list[float]] = {"gently": [], "at full speed": []}
        for _ in range(rounds):
            for name, ratios in found.items():
                before = rate(first, ALONE_S)
                spare = TrainerProcess.start(settings, low_priority=name == "gently")
                beside = rate(first, 60.0, spare)
                if name == "gently" and not ratios:
                    sys.stdout.write(f"MiB beside a spare: {mebibytes(first.pid)} and {mebibytes(spare.pid)}\n")
                spare.kill()
                ratios.append(2 * beside / (before + rate(first, ALONE_S)))
    first.kill()
    for name, ratios in found.items():
        spread = f"least {min(ratios):.3f}, most {max(ratios):.3f}"
        sys.stdout.write(f"steps/s while a spare warms {name} / alone: {statistics.median(ratios):.3f} ({spread})\n")


def rate(trainer: TrainerProcess, seconds: float, spare: TrainerProcess | None = None) -> float:
    """Steps a second, for so long or until the spare is warm."""
    began, steps = time.monotonic(), 0
    while time.monotonic() - began < seconds and not (spare is not None and spare.ready.is_set()):
        frame = trainer.frames.get()
        assert not isinstance(frame, Died)
        steps += next((s["n"] for s in frame.series if s["name"] == "loss"), 0) if isinstance(frame, Points) else 0
    return steps / (time.monotonic() - began)


def mebibytes(pid: int | str) -> int:
    """Proportional set size: what is shared is counted once over all processes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) // 1024


if __name__ == "__main__":
    main()
