"""Tables of real trainings for tests.benchmarks.searches.replay: each point of a grid is trained once, its curve kept.

A search is then replayed on the table: what a trial reports at a rung is what its training really had at that step.
Six tasks, 540 points each (rate x optimizer x width x weight decay), 540 steps, an evaluation every 10 steps, one seed.
"""

import json
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from service.analysis.arrays import Values
from service.spec.experiment import Experiment
from service.spec.parse.experiment import parse_experiment

if TYPE_CHECKING:
    from worker.trainer.data.dataset_folders import DatasetFolders

STEPS, EVERY = 540, 10
RATES = [10 ** (-4 + at / 3) for at in range(15)]  # to 10^(2/3)
OPTIMIZERS: list[dict[str, Any]] = [
    {"kind": "sgd"},
    {"kind": "sgd", "momentum": 0.9},
    {"kind": "adamw"},
    {"kind": "rmsprop"},
]
WIDTHS = [8, 32, 128]
WIDTHS_OF_TEXT = [4, 8, 16]
DECAYS = [1e-6, 1e-3, 1e-1]
SHAPE = (len(RATES), len(OPTIMIZERS), len(WIDTHS), len(DECAYS))
CLASSES, NUMBERS = {"loss": "cross_entropy"}, {"loss": "mse"}
TASKS: dict[str, dict[str, Any]] = {
    "digits": CLASSES | {"dataset": {"kind": "digits"}, "batch_size": 64},
    "mnist1d": CLASSES | {"dataset": {"kind": "mnist1d"}, "batch_size": 64},
    "diabetes": NUMBERS | {"dataset": {"kind": "diabetes"}, "batch_size": 32},
    "friedman1": NUMBERS | {"dataset": {"kind": "friedman1"}, "batch_size": 64},
    "spirals": CLASSES | {"dataset": {"kind": "spirals"}, "batch_size": 64},
    "text": CLASSES | {"dataset": {"kind": "text", "context": 16, "validation": 0.1}, "batch_size": 8},
}


class Table(NamedTuple):
    """A task's curves: validation loss (points, evaluations), NaN from where a training diverged."""

    task: str
    curves: Values
    seconds: float


def spec_of(task: str, at: tuple[int, ...], folder: Path) -> "tuple[Experiment, DatasetFolders]":
    """Return the spec of one point; the text is Python's own documentation, 20,000 characters of it."""
    from examples.text.corpus import corpus
    from tests.harness.texts import ID, store_text
    from worker.trainer.data.dataset_folders import DatasetFolders

    files = DatasetFolders(folder)
    spec = document(task, at)
    if task != "text":
        return parse_experiment(spec).spec, files
    text = store_text(files, corpus()[:20_000], spec["dataset"])
    width = {"width": WIDTHS_OF_TEXT[at[2]], "layers": 1, "heads": 2}
    spec["model"] = {"kind": "transformer", "causal": True, "outputs_at": "every"} | width
    spec["model"]["vocabulary"] = text.facts.vocabulary
    spec["dataset"] |= {"upload": ID}
    return parse_experiment(spec, lambda found: found.model_copy(update={"dataset": text})).spec, files


def document(task: str, at: tuple[int, ...]) -> dict[str, Any]:
    """Return the document of one point."""
    rate, optimizer, width, decay = at
    chosen = OPTIMIZERS[optimizer] | {"lr": RATES[rate], "weight_decay": DECAYS[decay]}
    others = {"steps": STEPS, "evaluate": {"every_steps": EVERY}, "probes": [], "seeds": [0]}
    return TASKS[task] | {"model": {"kind": "mlp", "hidden": [WIDTHS[width]] * 2}, "optimizer": chosen} | others


def curve(job: tuple[str, tuple[int, ...]]) -> list[float]:
    """Train one point and return its validation losses."""
    import torch

    from worker.trainer.loop import prepare, train

    with tempfile.TemporaryDirectory() as folder:
        spec, files = spec_of(*job, Path(folder))
        values: list[float] = []
        for step in train(prepare(spec, 0, torch.device("cpu"), files)):
            if step.step % EVERY == 0 and not math.isfinite(step.loss.item()):
                break
            values += [float(value) for name, value in (step.metrics or {}).items() if name == "val/loss"]
    return [*values, *[math.nan] * (STEPS // EVERY - len(values))]


def load(folder: Path, tasks: Sequence[str] = tuple(TASKS), processes: int = 1) -> Iterator[Table]:
    """Yield the table of each task; what is not in `folder` is trained first."""
    folder.mkdir(parents=True, exist_ok=True)
    for task in tasks:
        path = folder / f"{task}.json"
        if not path.exists():
            began = time.perf_counter()
            jobs = [(task, at) for at in np.ndindex(SHAPE)]
            with ProcessPoolExecutor(processes, get_context("spawn"), initializer=_one_thread) as pool:
                curves = list(pool.map(curve, jobs, chunksize=8))
            path.write_text(json.dumps({"curves": curves, "seconds": time.perf_counter() - began}))
            print(f"{task}: {len(curves)} trainings in {time.perf_counter() - began:.0f} s", flush=True)
        found = json.loads(path.read_text())
        yield Table(task, np.array(found["curves"], dtype=np.float64), found["seconds"])


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
