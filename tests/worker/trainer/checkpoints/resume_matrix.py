"""Runs cut by a real save and load in fresh state, against the same runs uncut: every loss, rate, reading and weight.

    python -m tests.worker.trainer.checkpoints.resume_matrix --cases 200

Each case is a model, an optimizer, a schedule and a way to make steps, each from its own list taken in turn, and one to
three cuts drawn from the case's number; combinations that a spec refuses take the next one of a list. The table has a
row a model; below it the control: what is noticed when a part of the state is left out.
"""

import argparse
import contextlib
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, get_args
from unittest import mock

import numpy as np
import torch

from service.errors import RunFailure
from service.ingest import inspect_file
from service.ingest.upload_files import IncomingUpload
from service.spec import optimizers
from service.spec.checks.experiment import find_problems
from service.spec.datasets.text import Text
from service.spec.experiment import Experiment
from service.spec.models import Model
from service.spec.models.objectives import ObjectiveBase
from service.storage.uploads import FolderUploads
from worker.trainer.checkpoints import checkpoint, optimizer_state, resume_check
from worker.trainer.data.dataset_folders import DatasetFolders
from worker.trainer.loop import Training, prepare

Document = dict[str, Any]
CPU, STEPS, SEED = torch.device("cpu"), 24, 11
DIGITS, IRIS, DIABETES = ({"dataset": {"kind": kind}, "batch_size": 32} for kind in ("digits", "iris", "diabetes"))
NOTHING = {"dataset": {"kind": "none"}, "loss": {"kind": "objective"}, "batch_size": "full"}
LAYERS = [
    {"layer": "Conv2d", "out_channels": 4, "kernel_size": 3},
    {"layer": "BatchNorm2d"},
    {"layer": "GELU"},
    {"layer": "Flatten"},
    {"layer": "Dropout", "p": 0.2},
    {"layer": "Linear", "out_features": 10},
]
TABLE = [
    {"layer": "Embedding", "num_embeddings": 6, "embedding_dim": 4, "sparse": True},
    {"layer": "Linear", "out_features": 6},
]
OBJECTIVES = [m for m in get_args(get_args(Model)[0]) if issubclass(m, ObjectiveBase)]
MODELS: list[tuple[Document, Document]] = [
    ({"kind": "linear"}, DIGITS),
    ({"kind": "mlp", "hidden": [8], "norm": "batch", "dropout": 0.3}, IRIS),
    ({"kind": "sum_of_units", "unit": "hardsigmoid"}, DIABETES),
    ({"kind": "cnn", "channels": [4], "norm": "batch", "dropout": 0.2}, DIGITS),
    ({"kind": "cnn1d", "pool": 1, "norm": "group", "channels": [4, 8]}, IRIS),
    ({"kind": "resnet", "width": 4}, DIGITS),
    ({"kind": "rnn", "nonlinearity": "relu", "outputs_at": "mean"}, IRIS),
    ({"kind": "gru", "layers": 2, "dropout": 0.3}, IRIS),
    ({"kind": "lstm", "bidirectional": True}, DIABETES),
    ({"kind": "transformer", "width": 16, "layers": 1, "dropout": 0.1}, DIGITS),
    ({"kind": "sequential", "layers": LAYERS}, DIGITS),
    ({"kind": "sequential", "layers": TABLE}, {"dataset": {"kind": "text"}, "batch_size": 8}),
    *(({"kind": m.model_fields["kind"].default}, NOTHING) for m in OBJECTIVES),
]
LIBRARY = get_args(optimizers.PytorchOptimizer.model_fields["name"].annotation)
OPTIMIZERS: list[Document] = [
    {"optimizer": {"kind": "sgd"}},
    {"optimizer": {"kind": "sgd", "momentum": 0.9, "nesterov": True}},
    {"optimizer": {"kind": "adam", "amsgrad": True}},
    {"optimizer": {"kind": "rmsprop", "momentum": 0.9, "centered": True}},
    {"optimizer": {"kind": "adagrad", "lr_decay": 0.01}},
    {"optimizer": {"kind": "lbfgs", "line_search_fn": "strong_wolfe", "history_size": 3}},
    {"optimizer": {"kind": "adamw"}, "groups": [{"match": {"dim": 2}, "optimizer": {"kind": "muon"}}]},
    {"optimizer": {"kind": "adabound", "amsbound": True}},
    *(
        {"optimizer": {"kind": kind}}
        for kind in ("adamw", "adamax", "nadam", "sgd", "radam", "adadelta", "rprop", "asgd", "adafactor", "lion")
    ),
    *({"optimizer": {"kind": kind}} for kind in ("lecture_adagrad", "lecture_rmsprop")),
    *({"optimizer": {"kind": kind}} for kind in ("schedule_free_sgd", "schedule_free_adamw", "schedule_free_radam")),
    *({"optimizer": {"kind": "pytorch_optimizer", "name": n, "lr": 1.0 if n == "prodigy" else 1e-3}} for n in LIBRARY),
]
SPARSE = {
    "optimizer": {"kind": "adamw"},
    "groups": [{"match": {"module": "Embedding"}, "optimizer": {"kind": "sparse_adam"}}],
}
RECURRENT = ("rnn", "gru", "lstm")  # not every CPU has their cells in another precision; sparse norms torch has not
PLATEAU = {"kind": "plateau", "patience": 0, "threshold": 0.5, "factor": 0.5}
SCHEDULES: list[Document] = [
    {"kind": "constant"},
    {"kind": "cosine"},
    {"kind": "warmup", "steps": 9, "after": PLATEAU},
    {"kind": "one_cycle", "cycle_momentum": True},
    {"kind": "step", "step_size": 7},
    PLATEAU,
    {"kind": "multistep", "milestones": [9, 20]},
    {"kind": "cyclic", "base_lr": 1e-4, "max_lr": 1e-2, "step_size_up": 5},
    {"kind": "exponential", "gamma": 0.95},
    {"kind": "inverse_sqrt", "warmup_steps": 5},
    {"kind": "cosine_restarts", "T_0": 7},
]
MECHANICS: list[Document] = [
    {},
    {"clip": {"norm": 0.1}, "drop_last": True},
    {"average": {"kind": "ema", "decay": 0.9}},
    {"precision": "bf16"},
    {"accumulate": 3, "clip": {"value": 0.01}},
    {"average": {"kind": "swa", "start": 5, "every_steps": 2}},
    {"precision": "fp16"},
    {"precision": "fp64"},
    {"stop": {"patience": {"series": "val/loss", "evaluations": 6, "min_delta": 0.01}}},
]


@dataclass(frozen=True)
class Case:
    """One run and where it is cut."""

    spec: Experiment
    cuts: tuple[int, ...]
    names: dict[str, str] = field(hash=False)

    def __str__(self) -> str:
        return " ".join(self.names.values()) + f" cut at {', '.join(map(str, self.cuts))}"


def cases(count: int, files: Path) -> list[Case]:
    """The first `count` cases; uploads that they need are put into `files`."""
    text = stored_text(files)
    return [_case(number, text) for number in range(count)]


def _case(number: int, text: Document) -> Case:
    """The optimizers in turn; the next one where nothing goes with the model, as muon with weights of one dimension."""
    chosen = (_chosen(number, OPTIMIZERS[(number + shift) % len(OPTIMIZERS)], text) for shift in range(2))
    return next(case for case in chosen if case is not None)


def _chosen(number: int, chosen: Document, text: Document) -> Case | None:
    """The lists in turn; where a spec refuses a combination, the next way to make steps, then the next schedule."""
    model, data = MODELS[number % len(MODELS)]
    if data["dataset"]["kind"] == "text":
        data = data | {"dataset": text}
    chosen = SPARSE if data["dataset"]["kind"] == "text" else chosen
    loss = {"diabetes": "mse", "none": "objective"}.get(data["dataset"]["kind"], "cross_entropy")
    base = {"model": model, "loss": {"kind": loss}, "steps": STEPS, "evaluate": {"every_steps": 3}} | data | chosen
    draw = random.Random(number)
    cuts = tuple(sorted(draw.sample(range(1, STEPS), draw.randint(1, 3))))
    for shift in range(len(SCHEDULES) * len(MECHANICS)):
        schedule = SCHEDULES[(number + shift // len(MECHANICS)) % len(SCHEDULES)]
        mechanics = MECHANICS[(number + shift) % len(MECHANICS)]
        spec = _valid(base | mechanics | {"schedule": schedule})
        cannot = {"precision"} if model["kind"] in RECURRENT else {"precision", "clip"} if chosen is SPARSE else set()
        if spec is not None and not cannot & set(mechanics):
            optimizer = chosen["optimizer"]
            names = {"model": model["kind"], "optimizer": optimizer.get("name", optimizer["kind"])}
            if "groups" in chosen:
                names["optimizer"] += "+" + chosen["groups"][0]["optimizer"]["kind"]
            names |= {"schedule": schedule["kind"], "mechanics": "+".join(mechanics) or "plain"}
            return Case(spec, cuts, names)
    return None


def _valid(document: Document) -> Experiment | None:
    try:
        spec = Experiment.model_validate_json(json.dumps(document))
    except ValueError:
        return None
    return None if find_problems(spec) else spec


def stored_text(folder: Path) -> Document:
    """An upload of characters, as the API stores and resolves it."""
    incoming = IncomingUpload(folder)
    incoming.write("".join(np.random.RandomState(0).choice(list("abcdef"), 600)).encode())
    incoming.close()
    report = inspect_file(incoming.path, "text")
    incoming.keep(FolderUploads(folder))
    made = Text(kind="text", upload="dat_" + "0" * 26, context=8)
    resolved, _ = made.resolve(report, incoming.sha256)
    found: Document = made.model_copy(update={"resolved": resolved}).model_dump(mode="json")
    return found


def difference(case: Case, files: Path, folder: Path) -> str | None:
    """What differs between the run uncut and cut; None: nothing, to the last bit. Raises where it cannot be built."""
    store = DatasetFolders(files)
    begin = partial(prepare, case.spec, SEED, CPU, store)
    whole = begin()
    return resume_check.difference(
        (whole, resume_check.trace(whole)), resume_check.train_in_pieces(begin, case.cuts, folder / "run")
    )


def _no_optimizer(document: Any, part: str, tensors: Any) -> Document:
    return optimizer_state_of(document, part, tensors) | {"state": {}}


optimizer_state_of = optimizer_state.unflatten_state
restore_of = checkpoint.restore


def _no_position(training: Training, tensors: Any, document: Document) -> None:
    """As if the data began anew: update s takes the rows of update s - position."""
    restore_of(training, tensors, document)
    batch, position = training.batches.batch, document["step"]
    training.batches.batch = lambda step: batch(step - position)  # type: ignore[method-assign]


LEFT_OUT: dict[str, tuple[str, Any]] = {
    "optimizer state": ("worker.trainer.checkpoints.optimizer_state.unflatten_state", _no_optimizer),
    "random states": ("worker.trainer.checkpoints.checkpoint.set_random_states", lambda *states: None),
    "data position": ("worker.trainer.checkpoints.checkpoint.restore", _no_position),
}


def noticed(part: str, files: Path, folder: Path) -> str | None:
    """What differs when `part` is left out of a checkpoint that needs all of them."""
    document = {
        "model": {"kind": "mlp", "hidden": [8], "norm": "batch", "dropout": 0.3},
        "loss": {"kind": "cross_entropy"},
        "steps": STEPS,
    }
    spec = _valid(document | IRIS | {"optimizer": {"kind": "adamw", "lr": 0.01}})
    assert spec is not None
    target, replacement = LEFT_OUT[part]
    with mock.patch(target, replacement):
        return difference(Case(spec, (7,), {}), files, folder)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """The thread count is part of a run's identity."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def main() -> int:
    """Print the table; 0 where all are identical and everything left out was noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=200)
    count = parser.parse_args().cases
    begun, rows, wrong, skipped = time.monotonic(), dict[str, list[int]](), list[str](), list[str]()
    with tempfile.TemporaryDirectory() as name, one_thread():
        home = Path(name)
        for number, case in enumerate(cases(count, home / "files")):
            row = rows.setdefault(case.names["model"], [0, 0])
            try:
                found = difference(case, home / "files", home / str(number))
            except (RunFailure, RuntimeError) as error:
                skipped.append(f"{case}: {str(error).splitlines()[0]}")
                continue
            row[0] += found is None
            row[1] += 1
            if found is not None:
                wrong.append(f"{case}: {found}")
        control = {part: noticed(part, home / "files", home / part) for part in LEFT_OUT}
    for model, (same, tried) in rows.items():
        print(f"{model:<16} {same:>3}/{tried} identical")
    same, tried = (sum(row[at] for row in rows.values()) for at in (0, 1))
    print(f"{'all':<16} {same:>3}/{tried} identical, {time.monotonic() - begun:.0f} s")
    for part, found in control.items():
        print(f"without the {part}: {'noticed at ' + found.split(':')[0] if found else 'NOT NOTICED'}")
    for line in [*wrong, *(f"did not train: {each}" for each in skipped)]:
        print(line)
    return 0 if same == count and all(control.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
