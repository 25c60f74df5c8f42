"""Healthy trainings that the generator makes sick: of every family of datasets and models, for fitting and for testing.

Both parts have other datasets, other kinds of models and other seeds, so that what is tuned on one is judged on the
other. Each spec is drawn: its optimizer, rate, schedule, batch size and activation vary within what is usual.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from service.errors import Invalid
from service.spec.component import Json
from service.spec.parse.experiment import parse_experiment

Half = Literal["fit", "test"]
FIRST_SEED = {"fit": 0, "test": 1_000_000}  # of the draws; the two never meet


class Family(NamedTuple):
    """A dataset with a model that learns it within a second or two."""

    name: str
    dataset: Json
    model: Json
    loss: str
    steps: int
    rate: float = 1.0  # over the usual rate of the optimizer for small models


def _layers(*layers: str | int, norm: bool = False) -> Json:
    """Return a sequential model: numbers are linear layers, words activations."""
    found: list[Json] = []
    for each in layers:
        if isinstance(each, str):
            found.append({"layer": each})
        else:
            found.append({"layer": "Linear", "out_features": each})
            if norm and each is not layers[-1]:
                found.append({"layer": "BatchNorm1d"})
    return {"kind": "sequential", "layers": found}


FIT = (
    Family("digits mlp", {"kind": "digits"}, {"kind": "mlp", "hidden": [64]}, "cross_entropy", 350),
    Family("digits cnn", {"kind": "digits"}, {"kind": "cnn", "channels": [8, 16]}, "cross_entropy", 300, 2),
    Family("digits rnn", {"kind": "digits"}, {"kind": "rnn", "hidden": 32}, "cross_entropy", 500, 2),
    Family("moons mlp", {"kind": "moons"}, {"kind": "mlp", "hidden": [32, 32]}, "cross_entropy", 400, 3),
    Family("friedman1 mlp", {"kind": "friedman1"}, {"kind": "mlp", "hidden": [32]}, "mse", 400, 3),
    Family("regression linear", {"kind": "regression"}, {"kind": "linear"}, "mse", 400, 10),
    Family("clusters mlp", {"kind": "classification", "rows": 2000, "separation": 1.5},
           {"kind": "mlp", "hidden": [48, 48]}, "cross_entropy", 400, 1),
    Family("swiss roll mlp", {"kind": "swiss_roll"}, {"kind": "mlp", "hidden": [64, 32]}, "mse", 500, 2),
)  # fmt: skip
TEST = (
    Family("mnist1d cnn1d", {"kind": "mnist1d", "rows": 3000}, {"kind": "cnn1d", "channels": [16, 32]},
           "cross_entropy", 450, 4),
    Family("blobs transformer", {"kind": "blobs", "features": 6, "classes": 4, "spread": 2.0, "seed": 1},
           {"kind": "transformer", "width": 16, "heads": 2, "layers": 1}, "cross_entropy", 300, 2),
    Family("blobs gru", {"kind": "blobs", "features": 8, "classes": 5, "spread": 2.0},
           {"kind": "gru", "hidden": 24}, "cross_entropy", 300, 4),
    Family("tumours layers", {"kind": "breast_cancer"}, _layers(32, "GELU", 16, "GELU", 2), "cross_entropy", 200, 1),
    Family("circles layers", {"kind": "circles"}, _layers(32, "ReLU", 32, "ReLU", 2), "cross_entropy", 400, 3),
    Family("s curve layers", {"kind": "s_curve"}, _layers(48, "Tanh", 32, "Tanh", 1), "mse", 500, 2),
    Family("friedman3 layers", {"kind": "friedman3", "noise": 0.05}, _layers(48, "SiLU", 24, "SiLU", 1), "mse", 500, 3),
    Family("spirals normed layers", {"kind": "spirals", "arms": 3, "turns": 0.7},
           _layers(48, "ReLU", 48, "ReLU", 3, norm=True), "cross_entropy", 500, 3),
)  # fmt: skip
FAMILIES: dict[Half, Sequence[Family]] = {"fit": FIT, "test": TEST}
OPTIMIZERS: tuple[Json, ...] = (  # at the rates that suit models of a few thousand weights
    {"kind": "sgd", "lr": 0.03, "momentum": 0.9},
    {"kind": "sgd", "lr": 0.03, "momentum": 0.9, "nesterov": True},
    {"kind": "adam", "lr": 2e-3},
    {"kind": "adam", "lr": 2e-3},
    {"kind": "adamw", "lr": 2e-3},
    {"kind": "rmsprop", "lr": 1e-3},
    {"kind": "nadam", "lr": 2e-3},
)
SCHEDULES: tuple[Json, ...] = (
    {"kind": "constant"},
    {"kind": "constant"},
    {"kind": "cosine"},
    {"kind": "warmup", "steps": 20, "after": {"kind": "cosine"}},
)


def healthy_document(half: Half, number: int) -> tuple[str, Json]:
    """Draw healthy spec `number` of a half: the name of its family, and the normalised document."""
    rng = np.random.default_rng(FIRST_SEED[half] + number)
    families = FAMILIES[half]
    family = families[number % len(families)]
    optimizer = dict(OPTIMIZERS[rng.integers(len(OPTIMIZERS))])
    factor = min(family.rate, 3.0) if optimizer["kind"] == "sgd" else family.rate
    optimizer["lr"] = float(f"{optimizer['lr'] * factor * 2 ** rng.uniform(-0.5, 0.5):.3g}")
    model = dict(family.model)
    if model["kind"] == "mlp" and rng.random() < 0.3:
        model["activation"] = str(rng.choice(["gelu", "tanh", "leaky_relu"]))
    document = {
        "name": family.name,
        "dataset": family.dataset | {"split_seed": int(rng.integers(1000))},
        "model": model,
        "loss": {"kind": family.loss},
        "optimizer": optimizer,
        "schedule": SCHEDULES[rng.integers(len(SCHEDULES))],
        "batch_size": int(rng.choice([16, 32, 64])),
        "steps": family.steps,
        "evaluate": {"every_steps": family.steps // 20},
    }
    return family.name, parse_experiment(document).spec.normalised()


def valid(document: Json) -> bool:
    """Whether the server would take it."""
    try:
        parse_experiment(document)
    except Invalid:
        return False
    return True
