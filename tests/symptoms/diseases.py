"""Diseases: each makes a healthy training sick, more so the higher its strength, and says what a diagnosis may call it.

A disease changes the spec, or the rows on their way into the training. The verdicts that it accepts are those that an
expert would accept as the first thing to say; they were written before any of these trainings ran.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from service.spec.component import Json
from tests.symptoms import altered_rows as rows
from tests.symptoms.altered_rows import between

if TYPE_CHECKING:  # it loads torch
    from worker.trainer.data.split import Splits

Alter = Callable[["Splits", float, np.random.Generator], "Splits"]
Change = Callable[[Json, float], Json | None]
TOO_LONG = (
    *("lr_above_stability", "nonfinite:overflow", "nonfinite:log0", "exploding_gradient", "bouncing_not_critical"),
    *("needs_warmup", "dying_relu", "dead"),
)
TOO_SHORT = ("lr_too_small", "update_underflow", "too_few_updates")
ADAPTIVE = ("adam", "adamw", "nadam", "rmsprop")


class Disease(NamedTuple):
    """A fault; `change` returns the sick document of a healthy one, None where it does not apply."""

    accept: tuple[str, ...]
    change: Change
    alter: Alter | None = None  # the rows


def _with(document: Json, part: str, **fields: object) -> Json:
    return document | {part: document[part] | fields}


def _same(document: Json, _: float) -> Json:
    return document


def _rates(document: Json, factor: float) -> Json:
    return _with(document, "optimizer", lr=float(f"{document['optimizer']['lr'] * factor:.3g}"))


def _rate_too_high(d: Json, s: float) -> Json:
    return _rates(d, between(5, 1000, s))


def _rate_too_low(d: Json, s: float) -> Json:
    return _rates(d, between(0.1, 1e-4, s))


def _warmup_missing(d: Json, s: float) -> Json | None:
    if d["schedule"]["kind"] != "warmup":
        return None
    return _rates(d, between(3, 30, s)) | {"schedule": d["schedule"]["after"]}


def _decays_early(d: Json, s: float) -> Json:
    steps = max(2, round(d["steps"] * between(0.5, 0.02, s)))  # after which the rate is a thousandth
    return d | {"schedule": {"kind": "exponential", "gamma": float(f"{1e-3 ** (1 / steps):.6g}")}}


def _drops_early(d: Json, s: float) -> Json:
    return d | {"schedule": {"kind": "step", "step_size": max(2, round(d["steps"] * between(0.3, 0.01, s)))}}


def _falls_as_time(d: Json, s: float) -> Json:
    return d | {"schedule": {"kind": "inverse_time", "decay_rate": between(0.03, 3, s), "decay_steps": 1}}


def _plateau_impatient(d: Json, s: float) -> Json:
    every = max(1, round(d["steps"] * between(0.05, 0.005, s)))
    return _with(d, "evaluate", every_steps=every) | {
        "schedule": {"kind": "plateau", "patience": 0, "factor": between(0.3, 0.03, s)}
    }


def _warmup_too_long(d: Json, s: float) -> Json:
    return d | {"schedule": {"kind": "inverse_sqrt", "warmup_steps": round(d["steps"] * between(3, 300, s))}}


def _momentum_too_high(d: Json, s: float) -> Json | None:
    if "momentum" not in d["optimizer"] or d["optimizer"]["kind"] != "sgd":
        return None
    return _with(d, "optimizer", momentum=1 - between(0.03, 0.0003, s))


def _beta_too_high(d: Json, s: float) -> Json | None:
    if "betas" not in d["optimizer"]:
        return None
    return _with(d, "optimizer", betas=[1 - between(0.02, 0.0005, s), 0.9999])


def _decay_too_strong(d: Json, s: float) -> Json | None:
    if "weight_decay" not in d["optimizer"]:
        return None
    most = 30.0 / d["optimizer"]["lr"] / d["steps"] if d["optimizer"]["kind"] == "adamw" else 1.0
    return _with(d, "optimizer", weight_decay=between(most / 30, most, s))


def _dropout_too_strong(d: Json, s: float) -> Json | None:
    if "dropout" not in d["model"]:
        return None
    return _with(d, "model", dropout=round(1 - between(0.4, 0.02, s), 3))


def _clipped(d: Json, s: float) -> Json | None:
    return d | {"clip": {"norm": between(0.03, 1e-5, s)}} if d["optimizer"]["kind"] == "sgd" else None


def _eps_too_large(d: Json, s: float) -> Json | None:
    return _with(d, "optimizer", eps=between(0.01, 10, s)) if d["optimizer"]["kind"] in ADAPTIVE else None


def _unscaled_features(d: Json, _: float) -> Json | None:
    return _with(d, "dataset", scaling="none") if d["model"]["kind"] in ("mlp", "linear", "sequential") else None


def _scaled_by_a_target(d: Json, _: float) -> Json | None:
    return _with(d, "dataset", target_scaling="none") if d["loss"]["kind"] == "mse" else None


def _only_regression(d: Json, _: float) -> Json | None:
    return d if d["loss"]["kind"] == "mse" else None


def _only_classes(d: Json, _: float) -> Json | None:
    return None if d["loss"]["kind"] == "mse" else d


def _shuffled(d: Json, s: float) -> Json:
    return _with(d, "dataset", shuffled_targets=round(0.9 + 0.1 * s, 3))


def _sorted(d: Json, _: float) -> Json:
    return d | {"shuffle": False}


def _longer(d: Json, _: float) -> Json | None:
    noisy = d["dataset"]["kind"] in ("digits", "friedman1", "classification", "mnist1d", "breast_cancer", "friedman3")
    return d | {"steps": d["steps"] * 2} if noisy else None


def _too_few_steps(d: Json, s: float) -> Json:
    return d | {"steps": max(25, round(d["steps"] * between(0.3, 0.05, s)))}


def _batch_too_large(d: Json, s: float) -> Json:
    size = {"digits": 1438, "mnist1d": 2400, "classification": 1600, "breast_cancer": 455}.get(
        d["dataset"]["kind"], 800
    )
    wanted = min(size, d["batch_size"] * round(between(4, 64, s)))
    return d | {"batch_size": wanted, "steps": max(25, round(d["steps"] * d["batch_size"] / wanted))}


def _batch_too_small(d: Json, s: float) -> Json:
    return _rates(d, between(1, 5, s)) | {"batch_size": 1 if s > 0.5 else 2}


def _too_small(d: Json, s: float) -> Json | None:
    units = max(1, round(4 * (1 - s)))
    model = d["model"]
    if model["kind"] == "mlp":
        return _with(d, "model", hidden=[units] * len(model["hidden"]))
    if model["kind"] in ("rnn", "gru"):
        return _with(d, "model", hidden=units)
    if model["kind"] in ("cnn", "cnn1d"):
        return _with(d, "model", channels=[units] * len(model["channels"]))
    if model["kind"] == "sequential":
        layers = [each | ({"out_features": units} if "out_features" in each else {}) for each in model["layers"][:-1]]
        return _with(d, "model", layers=[*layers, model["layers"][-1]])
    return None


def _no_activation(d: Json, _: float) -> Json | None:
    if d["model"]["kind"] == "mlp":
        return _with(d, "model", activation="identity")
    if d["model"]["kind"] == "sequential":
        layers = [each for each in d["model"]["layers"] if each["layer"] in ("Linear", "BatchNorm1d")]
        return _with(d, "model", layers=layers)
    return None


def _bounded_output(d: Json, s: float) -> Json | None:
    end = {"layer": ("Tanh", "ReLU", "Sigmoid")[min(2, int(3 * s))]}
    if d["model"]["kind"] == "sequential":
        return _with(d, "model", layers=[*d["model"]["layers"], end])
    if d["model"]["kind"] != "mlp" or d["model"]["activation"] != "relu":
        return None
    outputs = {"digits": 10, "moons": 2, "classification": 2}.get(d["dataset"]["kind"], 1)
    hidden = [part for width in d["model"]["hidden"] for part in ({"layer": "Linear", "out_features": width},
                                                                 {"layer": "ReLU"})]  # fmt: skip
    flat = [{"layer": "Flatten"}] if d["dataset"]["kind"] == "digits" else []
    layers = [*flat, *hidden, {"layer": "Linear", "out_features": outputs}, end]
    return d | {"model": {"kind": "sequential", "layers": layers}}


def _init(d: Json, weights: Json, biases: Json | None = None) -> Json:
    rules = [{"match": {"name": "*bias"}, "init": biases}] if biases else []
    return d | {"inits": [*rules, {"match": {"name": "*weight", "dim": 2}, "init": weights}]}


def _uses(d: Json, activation: str, layer: str) -> bool:
    """Whether hidden units are of a kind: by its word in a spec, or its class among listed layers."""
    listed = d["model"]["layers"] if d["model"]["kind"] == "sequential" else ()
    return d["model"].get("activation") == activation or any(each["layer"] == layer for each in listed)


def _dead_by_bias(d: Json, s: float) -> Json | None:
    constant = {"kind": "constant", "val": -between(1, 30, s)}
    return d | {"inits": [{"match": {"name": "*bias"}, "init": constant}]} if _uses(d, "relu", "ReLU") else None


def _saturated(d: Json, s: float) -> Json | None:
    return _init(d, {"kind": "normal", "std": between(2, 50, s)}) if _uses(d, "tanh", "Tanh") else None


def _zeros(d: Json, s: float) -> Json | None:
    if d["model"]["kind"] in ("linear", "transformer", "gru"):
        return None
    kind = {"kind": "zeros"} if s > 0.5 else {"kind": "constant", "val": 0.05}
    return d | {"inits": [{"match": {"name": "*weight"}, "init": kind}]}


def _init_too_large(d: Json, s: float) -> Json:
    return _init(d, {"kind": "normal", "std": between(0.7, 20, s)})


def _init_too_small(d: Json, s: float) -> Json | None:
    deep = d["model"]["kind"] == "sequential" or (d["model"]["kind"] == "mlp" and len(d["model"]["hidden"]) > 1)
    return _init(d, {"kind": "normal", "std": between(1e-2, 1e-6, s)}) if deep else None


def _wrong_loss(d: Json, s: float) -> Json | None:
    if d["loss"]["kind"] != "mse":
        return d | {"loss": {"kind": "softmax_mse"}} if s > 0.5 else None
    return d | {"loss": {"kind": "huber", "delta": between(0.03, 1e-4, s)}} if d["optimizer"]["kind"] == "sgd" else None


def _sigmoids(d: Json, s: float) -> Json | None:
    deep = 4 + round(6 * s)
    if d["model"]["kind"] == "mlp":
        return _with(d, "model", activation="sigmoid", hidden=[32] * deep)
    if d["model"]["kind"] == "sequential":
        hidden = [{"layer": "Linear", "out_features": 32}, {"layer": "Sigmoid"}] * deep
        return _with(d, "model", layers=[*hidden, d["model"]["layers"][-1]])
    return None


def _frozen(d: Json, s: float) -> Json | None:
    names = {"cnn": "convolutions*", "mlp": "layers.0*", "sequential": "layers.0*"}
    pattern = "*weight" if s > 0.6 else names.get(d["model"]["kind"], "*weight")
    return d | {"groups": [{"match": {"name": pattern}, "freeze": True}]}


def _layer_decay(d: Json, s: float) -> Json | None:
    return d | {"layer_decay": between(0.1, 1e-3, s)} if d["model"]["kind"] in ("mlp", "cnn", "cnn1d") else None


def _tiny_normed_batches(d: Json, s: float) -> Json | None:
    few = 4 if s < 0.3 else 3 if s < 0.6 else 2
    if d["model"]["kind"] == "mlp":
        return _with(d, "model", norm="batch") | {"batch_size": few, "drop_last": True}
    return d | {"batch_size": few, "drop_last": True} if _uses(d, "", "BatchNorm1d") else None


def _adagrad(d: Json, s: float) -> Json:
    return d | {"optimizer": {"kind": "adagrad", "lr": between(3e-3, 1e-4, s), "lr_decay": between(1e-3, 0.1, s)}}


STUCK = ("strict_saddle", "flat", "vanishing_gradient", "zero_or_symmetric_init", "bad_init_or_scale", "lr_too_small")
BAD_START = ("bad_init_or_scale", "saturated_output", "exploding_gradient", "lr_above_stability", "nonfinite:overflow",
             "dying_relu", "dead", "needs_warmup")  # fmt: skip
UNSCALED = ("ill_conditioned_inputs", "bad_init_or_scale")
DISEASES: Mapping[str, Disease] = {
    "rate too high": Disease(TOO_LONG, _rate_too_high),
    "rate too low": Disease(TOO_SHORT, _rate_too_low),
    "warmup missing": Disease((*TOO_LONG, "bad_init_or_scale"), _warmup_missing),
    "rate decays too early": Disease(("schedule_mismatch", "lr_too_small"), _decays_early),
    "drops counted in steps": Disease(("schedule_mismatch", "lr_too_small"), _drops_early),
    "rate falls as 1/t": Disease(("schedule_mismatch", "lr_too_small"), _falls_as_time),
    "plateau impatient": Disease(("schedule_mismatch", "lr_too_small", "update_underflow"), _plateau_impatient),
    "warmup too long": Disease(("schedule_mismatch", "lr_too_small"), _warmup_too_long),
    "momentum too high": Disease(TOO_LONG, _momentum_too_high),
    "beta too high": Disease((*TOO_LONG, "optimizer_settings"), _beta_too_high),
    "decay too strong": Disease(("weight_decay_too_strong", "optimizer_settings"), _decay_too_strong),
    "dropout too strong": Disease(("dropout_too_strong", "pipeline_or_capacity"), _dropout_too_strong),
    "clipped too hard": Disease(TOO_SHORT, _clipped),
    "eps too large": Disease(("eps_dominated_parameters", "lr_too_small"), _eps_too_large),
    "unscaled features": Disease(UNSCALED, _unscaled_features, rows.stretch),
    "constant features": Disease(("labels_unrelated", "pipeline_or_capacity", "constant_features"), _same,
                                 rows.constant_features),
    "unscaled targets": Disease(("bad_init_or_scale",), _scaled_by_a_target, rows.enlarge_targets),
    "outlier targets": Disease(("outlier_gradient", "noise_dominated", "overfitting", "bad_init_or_scale"),
                               _only_regression, rows.outlier_targets),
    "shuffled labels": Disease(("labels_unrelated", "overfitting"), _shuffled),
    "sorted rows": Disease(("rows_not_shuffled", "bn_statistics"), _sorted, rows.sort),
    "shifted validation": Disease(("validation_shift", "overfitting"), _same, rows.shift),
    "leaking feature": Disease(("validation_shift", "overfitting", "leakage"), _same, rows.leak),
    "rare classes in training": Disease(("validation_shift", "overfitting"), _only_classes,
                                        rows.thinned),
    "few rows": Disease(("overfitting", "validation_shift"), _longer, rows.few_rows),
    "cells not numbers": Disease(("nonfinite:input",), _same, rows.broken_cells),
    "sentinel values": Disease((*UNSCALED, "outlier_gradient"), _unscaled_features, rows.sentinels),
    "too few steps": Disease(TOO_SHORT, _too_few_steps),
    "batch too large": Disease((*TOO_SHORT, "wasteful_batch"), _batch_too_large),
    "batch too small": Disease((*TOO_LONG, "noise_dominated"), _batch_too_small),
    "network too small": Disease(("pipeline_or_capacity",), _too_small),
    "no activation": Disease(("pipeline_or_capacity",), _no_activation),
    "bounded output": Disease(("softmax_applied_twice", "saturated_output", "pipeline_or_capacity", "dying_relu",
                               "dead"), _bounded_output),
    "dead by bias": Disease(("dead", "dying_relu", "bad_init_or_scale"), _dead_by_bias),
    "saturated units": Disease(("saturated_output", "bad_init_or_scale"), _saturated),
    "identical weights": Disease(("zero_or_symmetric_init",), _zeros),
    "init too large": Disease(BAD_START, _init_too_large),
    "init too small": Disease(STUCK, _init_too_small),
    "wrong loss": Disease(("saturated_output", "lr_too_small"), _wrong_loss),
    "deep sigmoids": Disease(("vanishing_gradient", "saturated_output"), _sigmoids),
    "frozen layers": Disease(("setting_had_no_effect", "pipeline_or_capacity"), _frozen),
    "rate lost on the way down": Disease(("lr_too_small", "setting_had_no_effect", "optimizer_settings"), _layer_decay),
    "tiny normed batches": Disease(("bn_statistics", "noise_dominated"), _tiny_normed_batches),
    "adagrad exhausted": Disease(("accumulator_exhausted", "lr_too_small"), _adagrad),
}  # fmt: skip
