"""Which runs may be trained together: those whose specs differ only in values, and why others train alone."""

from typing import Any

import pytest

from service.spec.experiment import Experiment
from service.spec.packs import pack_key, pack_problem

PLAIN: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": (8,), "dropout": 0.1},
    "loss": {"kind": "cross_entropy", "label_smoothing": 0.1},
    "optimizer": {"kind": "sgd", "lr": 0.1, "momentum": 0.9},
    "schedule": {"kind": "cosine"},
    "clip": {"norm": 1.0},
    "steps": 40,
}
LAYERS = ({"layer": "Flatten"}, {"layer": "Linear", "out_features": 10})
EMBEDDING = {"layer": "Embedding", "num_embeddings": 16, "embedding_dim": 2, "sparse": True}
CYCLED = {"kind": "one_cycle", "max_lr": 0.5, "cycle_momentum": True}
CYCLED_LATER = {"kind": "sequential", "schedules": ({"kind": "constant"}, CYCLED), "milestones": (10,)}
SGD, ADAM = PLAIN["optimizer"], {"kind": "adam", "lr": 0.1}


def spec(**changes: Any) -> Experiment:
    return Experiment.model_validate({name: part for name, part in (PLAIN | changes).items() if part is not None})


VALUES: list[dict[str, Any]] = [
    {"name": "another", "tags": ("a",), "notes": "b", "priority": 3, "max_seconds": 5.0, "pool": "gpu"},
    {"seeds": (4, 5, 6)},
    {"restarts": 20},
    {"steps": 80},
    {"steps": None, "epochs": 3},
    {"optimizer": SGD | {"lr": 0.5}},
    {"optimizer": SGD | {"lr": 0.0}},
    {"optimizer": SGD | {"momentum": 0.5}},
    {"schedule": {"kind": "cosine", "eta_min": 0.1}},
    {"schedule": {"kind": "constant"}},
    {"schedule": CYCLED},
    {"schedule": CYCLED_LATER},
    {"schedule": {"kind": "plateau"}},
    {"model": PLAIN["model"] | {"dropout": 0.4}},
    {"loss": PLAIN["loss"] | {"label_smoothing": 0.2}},
    {"clip": {"norm": 2.0}},
    {"inits": ({"match": {"dim": 2}, "init": {"kind": "normal", "std": 0.3}},)},
]
OTHERS: list[dict[str, Any]] = [
    {"dataset": {"kind": "wine"}},
    {"model": PLAIN["model"] | {"hidden": (9,)}},
    {"model": PLAIN["model"] | {"dropout": 0.0}},
    {"loss": PLAIN["loss"] | {"label_smoothing": 0.0}},
    {"optimizer": ADAM},
    {"optimizer": SGD | {"momentum": 0.0}},
    {"optimizer": SGD | {"momentum": 0.0}, "schedule": CYCLED},
    {"optimizer": SGD | {"nesterov": True}},
    {"clip": {"value": 1.0}},
    {"clip": None},
    {"batch_size": 16},
    {"precision": "fp64"},
    {"evaluate": {"every_steps": 7}},
]


@pytest.mark.parametrize("changes", VALUES, ids=lambda changes: next(iter(changes)))
def test_runs_that_differ_in_values_share_a_pack(changes: dict[str, Any]) -> None:
    assert pack_key(spec()) is not None
    assert pack_key(spec(**changes)) == pack_key(spec())


@pytest.mark.parametrize("changes", OTHERS, ids=lambda changes: next(iter(changes)))
def test_runs_that_differ_in_more_do_not(changes: dict[str, Any]) -> None:
    assert pack_key(spec(**changes)) is not None
    assert pack_key(spec(**changes)) != pack_key(spec())


def test_no_two_of_the_other_packs_are_one() -> None:
    keys = [pack_key(spec(**changes)) for changes in OTHERS]
    assert len(set(keys)) == len(keys)


ALONE: list[tuple[dict[str, Any], str]] = [
    ({"pack": "never"}, "never"),
    ({"optimizer": {"kind": "lbfgs"}, "batch_size": "full", "clip": None}, "optimizer lbfgs"),
    ({"dataset": {"kind": "mnist1d"}, "model": {"kind": "lstm"}}, "model lstm"),
    ({"resources": {"devices": 2}}, "2 devices"),
    ({"model": {"kind": "sequential", "layers": LAYERS, "activation_checkpointing": True}}, "again"),
    ({"model": {"kind": "sequential", "layers": (EMBEDDING, *LAYERS)}}, "sparse"),
    ({"compile": True}, "compiles"),
    ({"precision": "bf16"}, "bf16"),
    ({"accumulate": 2}, "accumulates"),
    ({"average": {"kind": "ema"}}, "averages"),
    ({"optimizer": {"kind": "sgd", "lr": 0.1}, "schedule": CYCLED_LATER}, "begins at 0"),
    ({"stop": {"grad_norm_below": 1e-3}}, "stop rule"),
    ({"probes": ({"kind": "sharpness", "every_steps": 1},)}, "every step"),
    ({"model": {"kind": "mlp", "hidden": (2000, 2000)}}, "parameters"),
]


@pytest.mark.parametrize(("changes", "why"), ALONE, ids=lambda each: each if isinstance(each, str) else "")
def test_a_run_that_trains_alone_says_why(changes: dict[str, Any], why: str) -> None:
    alone = spec(**changes)
    assert why in pack_problem(alone)
    assert pack_key(alone) is None


def test_how_a_run_is_trained_is_no_part_of_what_it_is() -> None:
    assert spec(pack="never").hash == spec().hash
