"""Real short trainings, some broken on purpose, and what is said of them."""

from typing import Any

import pytest

from service.diagnosis.diagnose import diagnose
from service.diagnosis.progress import share_learned
from service.diagnosis.text import readable
from service.spec.parse.experiment import parse_experiment
from service.spec.parse.json_patch import apply_patch

from .trained import spec_of, trained

SIGMOIDS: dict[str, Any] = {"kind": "mlp", "hidden": [16] * 6, "activation": "sigmoid"}
WIDE_START: dict[str, Any] = {"kind": "mlp", "hidden": [16], "init": {"kind": "normal", "std": 3.0}}
SIGMOID_END: dict[str, Any] = {
    "kind": "sequential",
    "layers": [
        {"layer": "Flatten"},
        {"layer": "Linear", "out_features": 16},
        {"layer": "ReLU"},
        {"layer": "Linear", "out_features": 10},
        {"layer": "Sigmoid"},
    ],
}
BROKEN: dict[str, tuple[dict[str, Any], set[str]]] = {
    "rate x100": ({"optimizer": {"kind": "sgd", "lr": 5.0}}, {"nonfinite:overflow", "lr_above_stability"}),
    "adam's rate x300": ({"optimizer": {"kind": "adam", "lr": 0.3}}, {"lr_above_stability"}),
    "rate / 1000": ({"optimizer": {"kind": "sgd", "lr": 5e-5}}, {"lr_too_small"}),
    "zero start": ({"model": {"kind": "mlp", "hidden": [16], "init": {"kind": "zeros"}}}, {"zero_or_symmetric_init"}),
    "squared error of probabilities": ({"model": WIDE_START, "loss": {"kind": "softmax_mse"}}, {"saturated_output"}),
    "sigmoid before cross-entropy": ({"model": SIGMOID_END}, {"softmax_applied_twice"}),
    "six layers of sigmoids": ({"model": SIGMOIDS}, {"vanishing_gradient"}),
    "unscaled features": (
        {"dataset": {"kind": "wine", "scaling": "none"}, "optimizer": {"kind": "sgd", "lr": 0.01}, "batch_size": 16},
        {"ill_conditioned_inputs"},
    ),
    "a schedule in the other unit": (
        {"schedule": {"kind": "step", "step_size": 5, "gamma": 0.1}},
        {"schedule_mismatch"},
    ),
}
HEALTHY: dict[str, dict[str, Any]] = {
    "sgd": {},
    "momentum and cosine": {
        "optimizer": {"kind": "sgd", "lr": 0.02, "momentum": 0.9},
        "schedule": {"kind": "cosine"},
    },
    "adam": {"optimizer": {"kind": "adam", "lr": 3e-3}},
    "one row a batch": {"optimizer": {"kind": "sgd", "lr": 0.01}, "batch_size": 1, "steps": 3000},  # 2 epochs
    "full batches": {"dataset": {"kind": "iris"}, "optimizer": {"kind": "sgd", "lr": 0.5}, "batch_size": "full"},
    "regression": {
        "dataset": {"kind": "diabetes"},
        "loss": {"kind": "mse"},
        "optimizer": {"kind": "adam", "lr": 1e-2},
    },
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_training_that_is_broken_on_purpose_is_told_why(name: str) -> None:
    changes, verdicts = BROKEN[name]
    told = diagnose(trained(spec_of(**{"steps": 200, **changes}), every=8))
    assert told.level == "fault", readable(told)
    assert told.findings[0].finding.verdict in verdicts, readable(told)
    assert told.findings[0].finding.patch


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_training_has_no_fault(name: str) -> None:
    told = diagnose(trained(spec_of(**{"steps": 250, **HEALTHY[name]}), every=8))
    assert told.level in ("healthy", "info"), readable(told)


def test_a_remedy_helps() -> None:
    facts = trained(spec_of(steps=200, optimizer={"kind": "sgd", "lr": 5e-5}), every=20)
    patch = diagnose(facts).findings[0].finding.patch
    better = trained(parse_experiment(apply_patch(facts.plan.document, patch)).spec, every=20)
    assert (share_learned(better) or 0) > (share_learned(facts) or 0) + 0.3
