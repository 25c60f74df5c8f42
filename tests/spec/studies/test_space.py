"""Dimensions and points: the unit interval maps to every value and back, and a point of the space is known again."""

import random

import pytest

from service.errors import Invalid
from service.spec.parse.document import validate
from service.spec.studies.dimensions import Choice, DimensionBase, Fixed, Int, LogUniform, UniformRange, same_value
from service.spec.studies.points import apply, value_at
from service.spec.studies.space import combinations, draw, leaves, locate, point_at, restricted
from service.spec.studies.study import Study

DIMENSIONS = {
    "uniform": UniformRange(low=-1.0, high=3.0),
    "log_uniform": LogUniform(low=1e-5, high=10.0),
    "int": Int(low=-2, high=9),
    "stepped int": Int(low=32, high=256, step=32),
    "log int": Int(low=8, high=512, log=True),
    "choice": Choice(options=(1, "full", {"kind": "adam"}, None)),
    "fixed": Fixed(value=[1, 2]),
}
STUDY = {
    "base": {"preset": "digits-adam"},
    "space": {
        "/optimizer": {
            "kind": "choice",
            "role": "scientific",
            "options": [
                {
                    "value": "sgd",
                    "space": {
                        "/optimizer/lr": {"kind": "log_uniform", "low": 1e-3, "high": 1},
                        "/optimizer/momentum": {"kind": "uniform", "low": 0, "high": 0.99},
                    },
                },
                {
                    "value": {"kind": "adam"},
                    "space": {"/optimizer/lr": {"kind": "log_uniform", "low": 1e-4, "high": 0.1}},
                },
            ],
        },
        "/model/hidden/0": {"kind": "int", "low": 8, "high": 128, "log": True},
    },
    "budget": {"trials": 30},
}


@pytest.mark.parametrize("dimension", DIMENSIONS.values(), ids=DIMENSIONS)
def test_every_value_is_found_again_in_the_unit_interval(dimension: DimensionBase) -> None:
    for step in range(201):
        value = dimension.at(step / 200)
        unit = dimension.unit(value)
        assert unit is not None
        assert 0 <= unit <= 1
        assert same_value(dimension.at(unit), value)


@pytest.mark.parametrize(
    "dimension", [d for d in DIMENSIONS.values() if d.count], ids=[n for n, d in DIMENSIONS.items() if d.count]
)
def test_every_countable_value_is_drawn(dimension: DimensionBase) -> None:
    drawn = {repr(dimension.at(step / 20_000)) for step in range(20_001)}
    assert len(drawn) == dimension.count


@pytest.mark.parametrize("name", ["uniform", "int", "stepped int", "choice"])
def test_values_are_equally_likely(name: str) -> None:
    generator, dimension = random.Random(0), DIMENSIONS[name]
    halves = [(dimension.unit(dimension.at(generator.random())) or 0) < 0.5 for _ in range(4000)]
    assert abs(sum(halves) / 4000 - 0.5) < 0.05


def test_bounds_of_ranges_are_reached_exactly() -> None:
    for dimension in (
        UniformRange(low=0.1234567891, high=0.7777777777),
        LogUniform(low=1.23456789e-5, high=0.987654321),
    ):
        assert (dimension.at(0.0), dimension.at(1.0)) == (dimension.low, dimension.high)


def test_values_outside_are_in_no_dimension() -> None:
    assert UniformRange(low=0.0, high=1.0).unit(1.5) is None
    assert UniformRange(low=0.0, high=1.0).unit("a") is None
    assert Int(low=32, high=256, step=32).unit(33) is None
    assert Int(low=0, high=1).unit(True) is None
    assert Choice(options=(0, 1)).unit(True) is None


def test_an_option_equals_what_a_database_gives_back_of_it() -> None:
    choice = Choice(options=(1.0, {"kind": "sgd", "lr": 1e22}, True, 0))
    assert [choice.position(v) for v in (1, {"lr": 10**22, "kind": "sgd"}, True, 0, False)] == [0, 1, 2, 3, None]


def test_a_study_reads_its_own_normalised_document() -> None:
    study = validate(Study, STUDY)
    assert validate(Study, study.normalised()) == study


def test_a_point_is_drawn_and_located_again() -> None:
    space = validate(Study, STUDY).space
    generator = random.Random(1)
    for _ in range(100):
        point = draw(space, lambda leaf: leaf.dimension.at(generator.random()))
        assert ("/optimizer/momentum" in point) == (point["/optimizer"] == "sgd")
        located = locate(space, point)
        assert located is not None
        assert point_at(space, {name: unit for name, (_, unit) in located.items()}) == point


def test_two_options_search_the_same_pointer_under_different_names() -> None:
    names = [leaf.name for leaf in leaves(validate(Study, STUDY).space)]
    assert len(names) == len(set(names)) == 5


def test_a_point_that_lacks_or_exceeds_a_dimension_is_not_in_the_space() -> None:
    space = validate(Study, STUDY).space
    assert locate(space, {"/optimizer": {"kind": "adam"}, "/optimizer/lr": 0.01}) is None
    assert locate(space, {"/optimizer": {"kind": "adam"}, "/optimizer/lr": 0.5, "/model/hidden/0": 16}) is None
    extra = {"/optimizer": {"kind": "adam"}, "/optimizer/lr": 0.01, "/model/hidden/0": 16, "/batch_size": 3}
    assert locate(space, extra) is None


def test_a_space_is_narrowed_to_a_scientific_value() -> None:
    space = validate(Study, STUDY).space
    assert combinations(space) == [{"/optimizer": "sgd"}, {"/optimizer": {"kind": "adam"}}]
    narrowed = restricted(space, {"/optimizer": {"kind": "adam"}})
    assert {leaf.pointer for leaf in leaves(narrowed)} == {"/optimizer", "/optimizer/lr", "/model/hidden/0"}


def test_a_point_changes_outer_fields_before_inner_ones() -> None:
    base = {
        "optimizer": {"kind": "adam", "lr": 1.0},
        "model": {"hidden": [64]},
        "clip": None,
        "steps": None,
        "epochs": 3,
    }
    point = {
        "/optimizer/lr": 0.1,
        "/optimizer": "sgd",
        "/model/hidden/0": 8,
        "/clip/norm": 2.0,
        "/schedule/T_max": 5,
        "/steps": 7,
    }
    made = apply(base, point)
    assert made == {
        "optimizer": {"kind": "sgd", "lr": 0.1},
        "model": {"hidden": [8]},
        "clip": {"norm": 2.0},
        "schedule": {"T_max": 5},
        "steps": 7,
    }
    assert base["model"] == {"hidden": [64]}
    assert value_at(made, "/model/hidden/0") == 8
    assert value_at(made, "/model/hidden/3") is value_at(made, "/clip/value/x") is None


def test_a_pointer_into_a_number_or_beyond_a_list_is_refused() -> None:
    with pytest.raises(Invalid) as caught:
        apply({"batch_size": 3, "hidden": [1]}, {"/batch_size/x": 1, "/hidden/1": 2, "/hidden/x": 2})
    assert [problem.pointer for problem in caught.value.problems] == ["/batch_size/x", "/hidden/1", "/hidden/x"]
    assert "positions are 0 to 0" in caught.value.problems[1].detail
