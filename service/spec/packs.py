"""Packs: which runs one trainer may train at the same time, because their specs differ only in values.

Runs with the same `pack_key` build models of the same shapes, read the same rows and make the same operations in a
step; the numbers in them may differ: rate, momentum, decay, seed, length, initialisation. The trainer's side is
worker/trainer/pack.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from service.spec.experiment import Experiment
from service.spec.models.sequential import Sequential
from service.spec.plugins import used_packages

MODELS = {  # with a stacked form; LSTMs have a fused kernel that is as fast for each run alone
    *("linear", "sum_of_units", "mlp", "cnn", "cnn1d", "transformer", "rnn", "gru", "sequential", "resnet"),
    *("quadratic", "linear_objective", "absolute", "rosenbrock", "beale", "double_well", "monkey_saddle"),
    *("toy_linear_net", "rastrigin"),
}
OPTIMIZERS = {  # as formulas over stacked tensors
    *("sgd", "adam", "adamw", "adamax", "nadam", "radam", "rmsprop", "adagrad", "adadelta"),
    *("lecture_adagrad", "lecture_rmsprop"),
}
PRECISIONS = ("fp32", "fp64")
LARGE = 3_000_000  # parameters with which one run keeps a device busy
OWN = {  # of each run, whatever its pack
    *("name", "tags", "notes", "priority", "pool", "max_seconds", "restarts", "seeds", "pack"),
    *("steps", "epochs", "inits", "schedule"),  # any schedule is a table of rates and momenta
}
NUMBERS_ALONE = ("optimizer", "model", "loss", "clip", "stop")  # parts whose numbers may differ
NUMBER, ZERO = "number", "zero"


def pack_problem(spec: Experiment) -> str:
    """Return why the runs of this spec train alone; empty if they may train in a pack."""
    return next(_problems(spec), "")


def pack_key(spec: Experiment) -> str | None:
    """Return what the specs of a pack have in common; None if the runs of this spec train alone."""
    if pack_problem(spec):
        return None
    document = spec.model_dump(mode="json", exclude=OWN)
    common = {name: _without_numbers(part) if name in NUMBERS_ALONE else part for name, part in document.items()}
    common["momentum"] = bool(spec.momentum(1) or spec.optimizer.own_momentum)  # whether it has a state
    text = json.dumps(common, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _problems(spec: Experiment) -> Iterator[str]:
    """Yield the reasons to train alone, the plainest first."""
    if spec.pack == "never":
        yield "pack is never."
    for package in used_packages(spec):
        yield f"A part of the plug-in {package} has no form for several runs."
    forms = (("model", spec.model, MODELS), ("optimizer", spec.optimizer, OPTIMIZERS))
    for name, part, known in forms:
        if part.kind not in known:
            yield f"The {name} {part.kind} has no form for several runs."
    if spec.resources.devices > 1:
        yield f"It trains on {spec.resources.devices} devices."
    if spec.precision not in PRECISIONS:
        yield f"The precision {spec.precision} is for large models; packs train in {' or '.join(PRECISIONS)}."
    if getattr(spec.model, "activation_checkpointing", False):
        yield "Its model computes activations again, as large models do."
    if isinstance(spec.model, Sequential) and any(getattr(each, "sparse", False) for each in spec.model.layers):
        yield "Its embedding has sparse gradients."
    if spec.compile:
        yield "It compiles its steps."
    if spec.accumulate > 1:
        yield "It accumulates gradients, as large models do."
    if spec.average is not None:
        yield "It averages weights."
    if spec.schedule.momentum_pointer and not (spec.momentum(1) or spec.optimizer.own_momentum):
        yield "Its schedule moves a momentum that begins at 0, without a state."
    if spec.augment:
        yield "Its rows are augmented anew at each step."
    if spec.folds > 1:
        yield "Its runs train on different folds."
    if spec.stop is not None and spec.stop.grad_norm_below is not None:
        yield "A stop rule reads the gradient of each step."
    if any(probe.on_demand and probe.every_steps == 1 for probe in spec.probes):
        yield "A probe computes on a copy of the model at every step."
    if (spec.parameters or 0) > LARGE:
        yield f"Its model has {spec.parameters:,} parameters, and keeps a device busy by itself."


def _without_numbers(part: Any) -> Any:
    """Return a part of a document with only the kind of each number: zero, which may leave an operation out, or not."""
    if isinstance(part, float):
        return NUMBER if part else ZERO
    if isinstance(part, dict):
        return {name: NUMBER if name == "lr" else _without_numbers(value) for name, value in part.items()}
    return [_without_numbers(each) for each in part] if isinstance(part, list) else part
