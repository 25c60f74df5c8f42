"""Runs drawn by hand: series that show one symptom, and series that nearly do."""

import json
from typing import Any

import numpy as np

from service.analysis.arrays import Values
from service.analysis.run_data import Reading, Series, Sibling
from service.diagnosis.plan import Plan
from service.diagnosis.run_record import RunRecord
from service.spec.experiment import Experiment
from service.spec.parse.experiment import parse_experiment

STEPS = 1000
AT = np.arange(1, STEPS + 1)
LN10 = float(np.log(10))
PLAIN: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "model": {"kind": "mlp", "hidden": [32]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.05},
    "batch_size": 32,
    "steps": STEPS,
}
FIRST, LAST = "layers.0", "layers.2"  # the two layers with weights


def spec_of(**changes: Any) -> Experiment:
    """What a person would post."""
    return parse_experiment(json.loads(json.dumps({**PLAIN, **changes}))).spec


def noise(size: float, seed: int = 0) -> Values:
    return np.random.default_rng(seed).normal(0, size, STEPS)


def falling(to: float = 0.1, start: float = LN10, time: float = 100) -> Values:
    """A healthy loss with the noise of batches."""
    clean = to + (start - to) * np.exp(-AT / time)
    return clean * np.exp(noise(0.3))


def drawn(loss: Values | None = None, spec: dict[str, Any] | None = None, **more: Any) -> RunRecord:
    """A run with this loss; `series` in `more` are values a step, or (steps, values)."""
    plan = Plan(spec_of(**(spec or {})))
    loss = falling() if loss is None else loss
    given = {"loss": loss, "lr": plan.planned_rates(AT[: len(loss)]), **more.pop("series", {})}
    series = {}
    for name, values in given.items():
        steps, what = values if isinstance(values, tuple) else (AT[: len(values)], values)
        series[name] = Series.exact(steps, what)
    defaults: dict[str, Any] = {"state": "succeeded" if len(loss) == STEPS else "running", "step": len(loss)}
    return RunRecord(plan, series, **{**defaults, **more})


def reading(kind: str, step: int = STEPS, **data: Any) -> list[Reading]:
    return [Reading(7, step, kind, data)]


def seeds(*finals: float) -> list[Sibling]:
    return [Sibling(f"run_{number}", number, final) for number, final in enumerate(finals)]


def flat(value: float, size: float = 0.0) -> Values:
    return value + noise(size)


def evaluated(values: Any) -> tuple[Any, Any]:
    """A series of evaluations, evenly spread."""
    values = np.asarray(values, dtype=np.float64)
    return np.arange(1, len(values) + 1) * (STEPS // len(values)), values


def beside(
    run: float = LN10,
    same: float = LN10,
    other: float = LN10,
    *,
    held_out: float | None = None,
    train: float | None = None,
    control: float | None = None,
    steps: int = 400,
    noise: float = 0.01,
) -> list[Reading]:
    """What trainings beside the run reached; `held_out` and `train`: the fresh ones there, instead."""

    draws = np.random.default_rng(0)

    def entry(loss: float, fresh: bool = False, memorised: float | None = None) -> dict[str, Any]:
        at = {"validation": loss, "held_out": loss, "train": loss}
        at |= {"held_out": held_out} if fresh and held_out is not None else {}
        at |= {"train": memorised} if memorised is not None else {}
        spread = draws.normal(0, noise, 16)
        return {"loss": at, "groups": {name: list(value + spread) for name, value in at.items()}}

    fitted = {"steps": steps, "rate": 3e-3, "complete": steps > 50, "update_ratio": 5e-3}
    return reading(
        "learnability",
        judged="validation",
        batch=32,
        trained_steps=1500,
        seconds=1.5,
        constant=entry(LN10),
        run=entry(run),
        same=fitted | entry(same, True, train),
        other=fitted | {"name": "mlp", "model": {"kind": "mlp", "hidden": [128, 64]}} | entry(other, True),
        control=fitted | entry(LN10, memorised=control),
    )
