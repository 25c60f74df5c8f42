"""Warnings of a study: each is told where it is meant, and not where it is not."""

from typing import Any

import pytest

from service.spec.studies.parse import parse_study

RATE = {"kind": "log_uniform", "low": 1e-4, "high": 0.1}
SIDES = {
    "kind": "choice",
    "role": "scientific",
    "options": [{"value": kind, "space": {"/optimizer/lr": RATE}} for kind in ("sgd", "adam")],
}
PLAIN: dict[str, Any] = {"space": {"/optimizer/lr": RATE}, "budget": {"trials": 40}}


def warnings(**given: Any) -> dict[str, str]:
    """Return the pointer of each warning by its code."""
    return {
        each.code: each.pointer for each in parse_study({"base": {"preset": "digits-adam"}, **PLAIN, **given}).warnings
    }


def test_a_usual_study_has_none() -> None:
    assert warnings() == {}
    assert warnings(space={"/optimizer": SIDES}, pruner={"kind": "asha", "first": 0.1}) == {}


@pytest.mark.parametrize(
    ("given", "code", "pointer"),
    [
        (
            {"space": {"/optimizer/lr": {"kind": "uniform", "low": 1e-4, "high": 0.1}}},
            "linear_scale",
            "/space/~1optimizer~1lr/kind",
        ),
        (
            {"space": {"/optimizer/weight_decay": {"kind": "uniform", "low": 0, "high": 0.1}}},
            "linear_scale",
            "/space/~1optimizer~1weight_decay/kind",
        ),
        (
            {"space": {"/optimizer": {"kind": "choice", "options": ["sgd", "adam"]}}},
            "untuned_rate",
            "/space/~1optimizer/options/1",
        ),
        (
            {"space": {"/optimizer": {**SIDES, "options": ["sgd", "adam"]}, "/optimizer/lr": RATE}},
            "shared_range",
            "/space/~1optimizer~1lr",
        ),
        ({"budget": {"trials": 4}}, "small_budget", "/budget/trials"),
        ({"budget": {"steps": 3000}}, "small_budget", "/budget/steps"),
        ({"budget": {"trials": 10}}, "never_learns", "/sampler/startup"),
        ({"pruner": {"kind": "asha", "first": 10}}, "before_evaluation", "/pruner/first"),
        ({"pruner": {"kind": "median", "first": 100, "every": 10}}, "between_evaluations", "/pruner"),
        ({"pruner": "asha", "budget": {"trials": 8}}, "few_for_rungs", "/budget/trials"),
        ({"parallel": 30}, "blind_trials", "/parallel"),
        (
            {
                "space": {
                    "/loss": {
                        "kind": "choice",
                        "options": ["cross_entropy", {"kind": "cross_entropy", "label_smoothing": 0.1}],
                    }
                }
            },
            "not_comparable",
            "/objective/series",
        ),
        (
            {
                "space": {
                    "/optimizer/lr": RATE,
                    "/optimizer/betas/0": {"kind": "uniform", "low": 0.5, "high": 0.9},
                    "/batch_size": {"kind": "choice", "options": [32, 64]},
                },
                "sampler": "cma_es",
            },
            "drawn_at_random",
            "/sampler/kind",
        ),
    ],
)
def test_a_doubtful_study_is_told_where(given: dict[str, Any], code: str, pointer: str) -> None:
    assert warnings(**given).get(code) == pointer


def test_a_short_trial_has_no_rungs() -> None:
    base = {"preset": "digits-adam", "steps": 1}
    assert warnings(base=base, pruner="asha")["no_rungs"] == "/pruner"


def test_points_that_exclude_each_other_are_counted() -> None:
    """Batches of 4 rows cannot be computed in 32 pieces; each bound fits the base's batches of 32."""
    parts = {"kind": "int", "low": 1, "high": 32}
    space = {"/accumulate": parts, "/batch_size": {"kind": "choice", "options": [4, 64]}}
    assert warnings(space=space)["failing_points"] == "/space"


def test_a_budget_counts_each_side_of_a_duel() -> None:
    assert "small_budget" in warnings(space={"/optimizer": SIDES}, budget={"trials": 9})
    assert "small_budget" not in warnings(space={"/optimizer": SIDES}, budget={"trials": 10})
    assert "small_budget" not in warnings(budget={"device_seconds": 1.0})
