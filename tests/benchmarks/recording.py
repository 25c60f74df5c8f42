"""What recording costs: `python -m tests.benchmarks.recording`.

Hot: the loop's own time with the recorder, its flusher and a real pipe, over the same loop that reads nothing.
Durable: claim to last commit of the real worker on a real Postgres (fsync on), over the same raw loop; building the
model, the first flush and the last checkpoint are inside. Subject and yardstick take turns; medians of the rounds.
With `--peers` every tracker that is installed (tests/benchmarks/peers) records the same loop in the same rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from sqlalchemy import text

from service.db.access import projects
from service.db.experiments import experiments
from service.db.session import transaction
from service.spec.experiment import Experiment
from tests.benchmarks.peers.__main__ import PEERS, importable
from tests.harness.product import install_product
from worker.protocol import TrainRequest
from worker.trainer.channel import Channel
from worker.trainer.loop import prepare, train
from worker.trainer.session import Session

BASE: dict[str, Any] = {
    "dataset": {"kind": "digits", "validation": 0},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.01},
    "batch_size": 64,
}
LAST_RUN = text("SELECT state, extract(epoch FROM finished_at - started_at) AS s FROM run ORDER BY id DESC LIMIT 1")
SUBJECTS = {
    "mlp": {"model": {"kind": "mlp", "hidden": [128]}, "optimizer": {"kind": "adam"}},
    "cnn": {"model": {"kind": "cnn", "channels": [16, 32]}},
}


def spec_of(name: str, steps: int) -> Experiment:
    """The subject as a spec of `steps` updates."""
    return Experiment.model_validate_json(json.dumps(BASE | SUBJECTS[name] | {"steps": steps}))


def raw(spec: Experiment) -> tuple[float, float]:
    """Wall and thread seconds of the loop that reads no loss."""
    training = prepare(spec, 0, torch.device("cpu"))
    return _timed(lambda: sum(1 for _ in train(training)))


def hot(spec: Experiment, folder: str) -> tuple[float, float]:
    """Wall and thread seconds of the loop with its recorder, flusher and pipe, as the trainer runs it."""
    inward, _ = os.pipe()  # nobody asks for anything
    drain = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    assert drain.stdin is not None
    channel = Channel(inward, os.dup(drain.stdin.fileno()))
    request = TrainRequest(spec={}, seed=0, threads=1, flush_s=0.2, checkpoint_s=1e9, folder=folder)
    session = Session(request, prepare(spec, 0, torch.device("cpu")), channel)

    def loop() -> None:
        with session._flusher():
            session._train()

    spent = _timed(loop)
    drain.kill()
    drain.wait()
    return spent


def peer(spec: Experiment, name: str, folder: str) -> tuple[float, float]:
    """Seconds of the loop that tells a tracker every loss and rate: its own time, and until that has finished."""
    training, began = prepare(spec, 0, torch.device("cpu")), 0.0
    with PEERS[name](Path(folder), uuid.uuid4().hex) as log:
        began = time.perf_counter()
        for step in train(training):
            log(step.step, step.loss.item(), step.lr)
        hot = time.perf_counter() - began
    return hot, time.perf_counter() - began


def _timed(work: Any) -> tuple[float, float]:
    wall, thread = time.perf_counter(), time.thread_time()
    work()
    return time.perf_counter() - wall, time.thread_time() - thread


@contextmanager
def product() -> Iterator[Any]:
    """A worker on a database of its own; yields a function from a spec to seconds from claim to last commit."""
    with install_product(broker=False, SADDLE_POLL_S="0.05") as running:
        with transaction(running.engine) as connection:
            principal = projects.find_principal(connection, running.key)
        assert principal is not None
        running.start_worker()

        def durable(spec: Experiment) -> float:
            with transaction(running.engine) as connection:
                key = uuid.uuid4().hex
                experiments.add(connection, principal, spec, "cpu", key, key)
            while True:
                time.sleep(0.05)
                with transaction(running.engine) as connection:
                    row = connection.execute(LAST_RUN).one()
                if row.state in ("succeeded", "failed"):
                    assert row.state == "succeeded", row
                    return float(row.s)

        durable(spec_of("mlp", 50))  # the trainer warms up
        yield durable


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--peers", action="store_true", help="measure the trackers that are installed, too")
    arguments = parser.parse_args()
    if arguments.peers:
        print("not installed, so not measured:", sorted(set(PEERS) - set(importable())) or "none", flush=True)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="saddle-bench-") as home, product() as durable:
        for subject, short, long in (("mlp", 3_000, 24_000), ("cnn", 400, 3_000)):
            report(f"{subject} hot", [hot_round(spec_of(subject, short), home) for _ in range(arguments.rounds)])
            for name in importable() if arguments.peers else ():
                peer_spec = spec_of(subject, short)
                report(f"{subject} {name}", [peer_round(peer_spec, name, home) for _ in range(arguments.rounds // 3)])
            long_spec = spec_of(subject, long)
            report(f"{subject} durable", [durable_round(long_spec, durable) for _ in range(arguments.rounds // 3)])


def hot_round(spec: Experiment, folder: str) -> dict[str, float]:
    """Raw, recorded, raw again, each of a second or so, so that what the machine does besides meets all alike."""
    before, before_thread = raw(spec)
    recorded, recorded_thread = hot(spec, folder)
    after, after_thread = raw(spec)
    return {
        "wall": 2 * recorded / (before + after),
        "thread": 2 * recorded_thread / (before_thread + after_thread),
        "raw again, thread": after_thread / before_thread,
        "us a step": before / spec.total_steps * 1e6,
    }


def peer_round(spec: Experiment, name: str, folder: str) -> dict[str, float]:
    """The raw loop on both sides of one that a tracker records."""
    before, _ = raw(spec)
    hot_s, durable_s = peer(spec, name, folder)
    after, _ = raw(spec)
    return {"wall": 2 * hot_s / (before + after), "until finished": 2 * durable_s / (before + after)}


def durable_round(spec: Experiment, durable: Any) -> dict[str, float]:
    """The raw loop on both sides of the real one."""
    before, _ = raw(spec)
    spent = durable(spec)
    after, _ = raw(spec)
    return {"wall": 2 * spent / (before + after), "raw again": after / before}


def report(subject: str, rows: list[dict[str, float]]) -> None:
    """One line a measure: the median over rounds of subject / yardstick, and how far the rounds lay apart."""
    for measure in rows[0]:
        values = [row[measure] for row in rows]
        middle = f"median {statistics.median(values):8.3f}"
        print(f"{subject:12} {measure:18} {middle}   least {min(values):8.3f}   most {max(values):8.3f}", flush=True)


if __name__ == "__main__":
    main()
