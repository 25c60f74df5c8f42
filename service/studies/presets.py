"""Studies for the usual questions: functions from a base spec to the document of a study."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from service.errors import Invalid, Problem
from service.spec.component import Json
from service.spec.validation_errors import closest

RATE = {"kind": "log_uniform", "low": 1e-4, "high": 1.0}
SMALL_RATE = {"kind": "log_uniform", "low": 1e-5, "high": 0.1}
DECAY = {"kind": "log_uniform", "low": 1e-6, "high": 0.1}
LESS_MOMENTUM = {"kind": "uniform", "low": 0.0, "high": 0.99}
WARMED_COSINE = {"kind": "warmup", "steps": 20, "after": {"kind": "cosine"}}


@dataclass(frozen=True)
class StudyPreset:
    """A question with the study that answers it."""

    name: str
    question: str
    make: Callable[[Json], Json]  # the base's document -> the study's document


def _tune_rate(base: Json) -> Json:
    """Return a study of the learning rate alone."""
    rate = SMALL_RATE if _kind(base) not in ("sgd", "asgd", "muon") else RATE
    return {
        "name": "tune-lr",
        "base": base,
        "space": {"/optimizer/lr": rate},
        "sampler": "gp",
        "budget": {"trials": 20},
        "parallel": 2,
    }


def _tune_rate_and_decay(base: Json) -> Json:
    """Return a study of rate, weight decay and batch size together."""
    sizes = {"kind": "choice", "options": [16, 32, 64, 128]}
    rate = SMALL_RATE if _kind(base) not in ("sgd", "asgd", "muon") else RATE
    return {
        "name": "tune-lr-decay-batch",
        "base": base,
        "space": {"/optimizer/lr": rate, "/optimizer/weight_decay": DECAY, "/batch_size": sizes},
        "sampler": "tpe",
        "pruner": "median",
        "budget": {"trials": 50},
    }


def _sgd_against_adam(base: Json) -> Json:
    """Return a duel: SGD with momentum and a schedule against Adam, each with its own rate and decay."""
    schedule = {"/schedule": {"kind": "fixed", "value": WARMED_COSINE}}
    sgd = {
        "/optimizer/lr": RATE | {"low": 1e-3},
        "/optimizer/momentum": LESS_MOMENTUM,
        "/optimizer/weight_decay": DECAY,
    }
    adam = {"/optimizer/lr": SMALL_RATE, "/optimizer/weight_decay": DECAY, "/schedule": _constant_or_cosine()}
    options = [
        {"name": "SGD with a schedule", "value": {"kind": "sgd", "nesterov": False}, "space": sgd | schedule},
        {"name": "Adam", "value": {"kind": "adamw"}, "space": adam},
    ]
    return {
        "name": "sgd-against-adam",
        "base": base,
        "space": {"/optimizer": {"kind": "choice", "role": "scientific", "options": options}},
        "sampler": "tpe",
        "budget": {"trials": 40},
    }


def _schedules(base: Json) -> Json:
    """Return a duel of schedules, each with its own rate."""
    shapes: list[Any] = ["constant", "cosine", "linear", WARMED_COSINE]
    names = ["constant", "cosine", "linear", "warmup and cosine"]
    options = [{"name": name, "value": shape} for name, shape in zip(names, shapes, strict=True)]
    rate = SMALL_RATE if _kind(base) not in ("sgd", "asgd", "muon") else RATE
    return {
        "name": "schedules",
        "base": base,
        "space": {"/schedule": {"kind": "choice", "role": "scientific", "options": options}, "/optimizer/lr": rate},
        "sampler": "gp",
        "budget": {"trials": 48},
    }


def _constant_or_cosine() -> Json:
    return {"kind": "choice", "options": ["constant", "cosine"]}


def _kind(base: Mapping[str, Any]) -> str:
    optimizer = base.get("optimizer")
    kind = optimizer.get("kind") if isinstance(optimizer, dict) else optimizer
    return kind if isinstance(kind, str) else ""


PRESETS = {
    preset.name: preset
    for preset in (
        StudyPreset("tune-lr", "Which learning rate is best for this spec?", _tune_rate),
        StudyPreset(
            "tune-lr-decay-batch", "Which rate, weight decay and batch size are best together?", _tune_rate_and_decay
        ),
        StudyPreset(
            "sgd-against-adam",
            "Does SGD with a schedule beat Adam, when both are tuned with the same number of trials?",
            _sgd_against_adam,
        ),
        StudyPreset("schedules", "Which schedule is best, each at its own rate?", _schedules),
    )
}


def study_document(name: str, base: Json) -> Json:
    """Return the document of a preset's study of this base; raise `Invalid` for an unknown one."""
    if name not in PRESETS:
        detail = "there is no such preset of a study."
        raise Invalid.of([Problem("/preset", "unknown_preset", detail, list(PRESETS), closest(name, PRESETS))])
    return PRESETS[name].make(base)
