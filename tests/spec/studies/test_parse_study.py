"""A posted study: its base is normalised, each bound and option is built by the real parser, problems have pointers."""

from typing import Any

import pytest

from service.errors import Invalid, Problem
from service.spec.studies.parse import parse_study

RATE = {"kind": "log_uniform", "low": 1e-4, "high": 0.1}


def study(space: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"base": {"preset": "digits-adam"}, "space": space, "budget": {"trials": 20}} | others


def problems(document: dict[str, Any]) -> list[Problem]:
    with pytest.raises(Invalid) as caught:
        parse_study(document)
    return list(caught.value.problems)


def test_the_base_is_normalised_with_the_seeds_of_the_study() -> None:
    parsed = parse_study(study({"/optimizer/lr": RATE}, seeds=[4, 5]))
    assert parsed.study.seeds == (4, 5)
    assert parsed.study.base["seeds"] == [4, 5]
    assert parsed.study.base["optimizer"]["betas"] == [0.9, 0.999]
    assert "resolved" not in parsed.study.base["dataset"]
    assert parse_study(study({"/optimizer/lr": RATE})).study.seeds == (0, 1, 2)


def test_a_parsed_study_parses_to_itself() -> None:
    parsed = parse_study(study({"/optimizer/lr": RATE}))
    assert parse_study(parsed.study.normalised()).study == parsed.study


def test_what_is_filled_in_for_the_base_is_filled_in_for_each_point_anew() -> None:
    small = {
        "dataset": {"kind": "moons", "rows": 20},
        "model": {"kind": "mlp"},
        "loss": "cross_entropy",
        "optimizer": "sgd",
        "steps": 9,
    }
    parsed = parse_study({"base": small, "space": {"/optimizer/lr": RATE}, "budget": {"trials": 3}})
    assert parsed.spec.batch_size == "full"
    assert "batch_size" not in parsed.study.base


def test_the_training_loss_judges_where_nothing_is_validated() -> None:
    base = {"preset": "digits-adam", "dataset": {"kind": "digits", "validation": 0.0}}
    parsed = parse_study(study({"/optimizer/lr": RATE}, base=base))
    assert (parsed.study.objective.series, parsed.study.objective.figure) == ("loss", "last")
    assert [warning.pointer for warning in parsed.warnings if warning.code == "filled"] == ["/objective/series"]


@pytest.mark.parametrize(
    ("space", "pointer", "code", "meant"),
    [
        ({"/optimiser/lr": RATE}, "/space/~1optimiser~1lr", "unknown_field", "/optimizer/lr"),
        ({"/optimizer/learning_rate": RATE}, "/space/~1optimizer~1learning_rate", "contradiction", "/optimizer/lr"),
        ({"optimizer.lr": RATE}, "/space/optimizer.lr", "not_a_pointer", "/optimizer/lr"),
        ({"/optimizer/lr": RATE | {"high": 100.0}}, "/space/~1optimizer~1lr/high", "less_than_equal", None),
        ({"/optimizer/lr": RATE | {"high": 1e-4}}, "/space/~1optimizer~1lr/high", "empty_range", None),
        ({"/optimizer/lr": RATE | {"low": 0.0}}, "/space/~1optimizer~1lr/low", "greater_than", None),
        ({"/optimizer/momentum": RATE}, "/space/~1optimizer~1momentum", "unknown_field", None),
        ({"/optimizer/lr/x": RATE}, "/space/~1optimizer~1lr~1x", "pointer_misfit", None),
        (
            {"/optimizer/kind": {"kind": "choice", "options": ["sgd", "adam"]}},
            "/space/~1optimizer~1kind",
            "whole_component",
            "/optimizer",
        ),
        (
            {"/optimizer": {"kind": "choice", "options": ["sgd", {"kind": "admw"}]}},
            "/space/~1optimizer/options/1/value",
            "unknown_kind",
            "adamw",
        ),
        ({"/seeds": {"kind": "fixed", "value": [1]}}, "/space/~1seeds", "not_searched", None),
        (
            {"/optimizer/lr": RATE | {"role": "scientific"}},
            "/space/~1optimizer~1lr/role",
            "not_a_choice",
            None,
        ),
        (
            {"/batch_size": {"kind": "int", "low": 0, "high": 9, "log": True}},
            "/space/~1batch_size/low",
            "not_positive",
            None,
        ),
        ({"/batch_size": {"kind": "choice", "options": [8, 8]}}, "/space/~1batch_size/options/1", "repeated", None),
    ],
)
def test_a_wrong_dimension_is_told_at_its_place(
    space: dict[str, Any], pointer: str, code: str, meant: str | None
) -> None:
    found = problems(study(space))
    assert [(problem.pointer, problem.code, problem.did_you_mean) for problem in found] == [(pointer, code, meant)]


def test_a_dimension_of_an_option_is_told_at_its_place() -> None:
    inner = {"/optimizer/momentum": {"kind": "uniform", "low": 0, "high": 1}}
    space = {"/optimizer": {"kind": "choice", "options": [{"value": "sgd", "space": inner}, "adam"]}}
    (found,) = problems(study(space))
    assert found.pointer == "/space/~1optimizer/options/0/space/~1optimizer~1momentum/high"
    assert found.code == "less_than"


def test_an_option_may_need_the_dimensions_it_brings() -> None:
    step = {"value": {"kind": "step"}, "space": {"/schedule/step_size": {"kind": "int", "low": 50, "high": 200}}}
    found = parse_study(study({"/schedule": {"kind": "choice", "options": ["constant", step]}})).study
    assert found.space["/schedule"].edges()["/options/1/value"] == {"kind": "step"}
    with pytest.raises(Invalid):  # a step size is missing
        parse_study(study({"/schedule": {"kind": "choice", "options": ["constant", {"value": {"kind": "step"}}]}}))


def test_choices_nest() -> None:
    schedules = {"kind": "choice", "options": ["constant", {"value": "cosine", "space": {"/clip/norm": RATE}}]}
    space = {"/optimizer": {"kind": "choice", "options": ["sgd", {"value": "adam", "space": {"/schedule": schedules}}]}}
    parsed = parse_study(study(space))
    assert parse_study(parsed.study.normalised()).study == parsed.study


def test_a_field_is_searched_once() -> None:
    inner = {"/optimizer/lr": RATE}
    space = {"/optimizer": {"kind": "choice", "options": [{"value": "sgd", "space": inner}]}, "/optimizer/lr": RATE}
    (found,) = problems(study(space))
    assert (found.pointer, found.code) == ("/space/~1optimizer/options/0/space/~1optimizer~1lr", "repeated")


@pytest.mark.parametrize(
    ("given", "pointer", "code"),
    [
        ({"sampler": "cma_es"}, "/sampler/kind", "too_few_dimensions"),
        (
            {"sampler": "grid", "space": {"/batch_size": {"kind": "int", "low": 1, "high": 10**7}}},
            "/space/~1batch_size/step",
            "too_many",
        ),
        (
            {"space": {"/batch_size": {"kind": "int", "low": 8, "high": 64, "step": 8, "log": True}}},
            "/space/~1batch_size/step",
            "contradiction",
        ),
        (
            {
                "space": {
                    f"/model/hidden/{at}": {"kind": "choice", "role": "scientific", "options": list(range(8, 28))}
                    for at in range(2)
                }
            },
            "/space",
            "too_many",
        ),
        (
            {
                "space": {
                    "/optimizer": {
                        "kind": "choice",
                        "options": [
                            {
                                "value": "sgd",
                                "space": {
                                    "/schedule": {
                                        "kind": "choice",
                                        "role": "scientific",
                                        "options": ["constant", "cosine"],
                                    }
                                },
                            }
                        ],
                    }
                }
            },
            "/space/~1optimizer/options/0/space/~1schedule/role",
            "not_at_top",
        ),
    ],
)
def test_what_a_sampler_or_a_role_cannot_do_is_refused(given: dict[str, Any], pointer: str, code: str) -> None:
    (found,) = problems(study({"/optimizer/lr": RATE}) | given)
    assert (found.pointer, found.code) == (pointer, code)


def test_problems_of_base_and_budget_are_told_together() -> None:
    found = problems(study({"/optimizer/lr": RATE}, base={"preset": "digits-adam", "stepz": 3}, budget={}))
    assert [problem.pointer for problem in found] == ["/budget", "/base/stepz"]


def test_a_series_that_is_not_measured_is_refused() -> None:
    (found,) = problems(study({"/optimizer/lr": RATE}, objective={"series": "val/acuracy"}))
    assert (found.pointer, found.did_you_mean) == ("/objective/series", "val/accuracy")


def test_a_space_where_no_point_builds_is_refused() -> None:
    """Each bound builds over the base alone; together they exclude each other."""
    space = {"/steps": {"kind": "int", "low": 10, "high": 20}, "/epochs": {"kind": "int", "low": 1, "high": 2}}
    (found,) = problems(study(space))
    assert (found.pointer, found.code) == ("/space", "no_point_builds")
