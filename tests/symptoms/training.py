"""Symptoms trained in this process; series and readings are kept on disk, so that rules are judged anew in seconds."""

import hashlib
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from service.analysis.run_data import Reading, Series, Sibling
from service.diagnosis.plan import Plan
from service.diagnosis.run_record import RunRecord
from service.spec.experiment import Experiment

ROOT = Path(__file__).parents[2]
TRAINED_BY = ("worker", "service/spec")  # whose sources decide what a training gives


class Record(NamedTuple):
    """What a run left behind."""

    series: dict[str, tuple[list[int], list[float]]]
    readings: list[tuple[int, str, dict[str, Any]]]
    state: str
    step: int
    failure: dict[str, Any] | None


def recorded(spec: Experiment, seed: int) -> Record:
    """Train it as a worker would: to the end, or to the first loss that is no number."""
    import torch

    from worker.trainer.loop import prepare, train
    from worker.trainer.probes.learnability.at_end import Took, learnability_at_end
    from worker.trainer.probes.runner import Reading as ProbeReading

    began = time.monotonic()
    points: dict[str, tuple[list[int], list[float]]] = defaultdict(lambda: ([], []))
    training, failure = prepare(spec, seed, torch.device("cpu")), None
    for step in train(training):
        loss = step.loss.item()
        for name, value in {"loss": loss, "lr": step.lr, **(step.metrics or {})}.items():
            points[name][0].append(step.step)
            points[name][1].append(float(value))
        if not np.isfinite(loss) and spec.nonfinite == "fail":
            failure = {"code": "diverged", "step": step.step}
            break
    if failure is None and (found := learnability_at_end(training, Took(time.monotonic() - began), lambda: False)):
        training.probes.readings.append(ProbeReading(training.step, *found))
    told = [(each.step, each.kind, dict(each.data)) for each in training.probes.readings]
    return Record(dict(points), told, "failed" if failure else "succeeded", training.step, failure)


def facts_of(spec: Experiment, record: Record, siblings: Sequence[Sibling] = ()) -> RunRecord:
    """As the API gives them to the rules."""
    series = {name: Series.exact(*pair) for name, pair in record.series.items()}
    readings = [Reading(at, *each) for at, each in enumerate(record.readings)]
    final_of = "val/loss" if "val/loss" in record.series else "loss"
    return RunRecord(Plan(spec), series, readings, record.state, record.step, record.failure, siblings, final_of)


def sibling(seed: int, record: Record) -> Sibling:
    """What a seed came to."""
    _, values = record.series["val/loss" if "val/loss" in record.series else "loss"]
    return Sibling(f"run_{seed}", seed, float("nan") if record.failure else values[-1])


class Job(NamedTuple):
    """One training that is wanted."""

    name: str
    spec: Experiment
    seed: int
    file: Path | None  # where it is kept; None: nowhere


def jobs(wanted: Iterable[tuple[str, Experiment]], seeds: Sequence[int], folder: Path | None) -> list[Job]:
    """Each with each seed; a file's name says what made it, so that a changed worker trains anew."""
    made_by = sources()
    found = []
    for name, spec in wanted:
        text = json.dumps(spec.normalised() | {"name": "", "seeds": []}, sort_keys=True) + made_by
        for seed in seeds:
            key = hashlib.sha256(f"{text}{seed}".encode()).hexdigest()[:24]
            found.append(Job(name, spec, seed, folder and folder / f"{key}.json"))
    return found


def sources() -> str:
    """Return a hash of the code that trains."""
    found = hashlib.sha256()
    for folder in TRAINED_BY:
        for path in sorted((ROOT / folder).rglob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()


def trained(wanted: Sequence[Job], processes: int = 1) -> Iterator[tuple[Job, Record]]:
    """All of them, in order; what is on disk is not trained again."""
    if processes == 1:
        yield from ((job, _one(job)) for job in wanted)
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), initializer=one_thread) as pool:
        yield from zip(wanted, pool.map(_one, wanted), strict=True)


def one_thread() -> None:
    """Train with one thread, which is part of what a run is."""
    import torch

    torch.set_num_threads(1)


def _one(job: Job) -> Record:
    return kept(job.file, lambda: recorded(job.spec, job.seed))


def kept(file: Path | None, train: Callable[[], Record]) -> Record:
    """Return what is on disk, else train and write it there."""
    if file is not None and file.exists():
        return Record(*json.loads(file.read_text()))
    record = train()
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(record))
        partial.replace(file)
    return record
