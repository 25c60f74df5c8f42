"""When probes look, and what the checker says of them."""

import itertools
from typing import Any

import pytest

from service.errors import Invalid
from service.spec.checks.experiment import find_warnings
from service.spec.experiment import Experiment
from service.spec.parse.experiment import parse_experiment
from service.spec.probes import DEFAULT_PROBES, ProbeBase
from service.spec.probes.base import STRIDE
from service.spec.probes.inline import Rates
from service.spec.probes.on_demand import Sharpness

SPEC: dict[str, Any] = {
    "dataset": {"kind": "iris"},
    "model": {"kind": "mlp"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"},
    "steps": 100,
}


def looks(probe: ProbeBase, total: int, step: int = 0) -> list[int]:
    found = []
    while (step := probe.next_look(step, total)) <= total:
        found.append(step)
    return found


def of(probes: list[dict[str, Any]], **more: Any) -> Experiment:
    return parse_experiment(SPEC | {"probes": probes} | more).spec


def codes(spec: Experiment) -> list[tuple[str, str]]:
    return [(each.pointer, each.code) for each in find_warnings(spec)]


def test_a_short_run_is_looked_at_from_its_first_step_to_its_last() -> None:
    assert looks(Rates(), 5) == [1, 2, 3, 4, 5]
    assert looks(Rates(), 45) == [*range(1, 17), 20, 24, 28, 32, 40, 45]
    assert 30 <= len(looks(Rates(), 300)) <= 35


def test_a_long_run_is_looked_at_a_hundred_to_two_hundred_times_and_evenly() -> None:
    for total in (10_000, 30_000, 123_456, 50_000_000):
        found = looks(Rates(), total)
        gaps = [later - earlier for earlier, later in itertools.pairwise(found)]
        assert 100 <= len(found) <= 200
        assert gaps[:-1] == sorted(gaps[:-1])
        assert max(gaps) >= STRIDE
        assert found[-1] == total


@pytest.mark.parametrize("probe", [Rates(), Rates(every_steps=7), Sharpness(), Sharpness(every_steps=3)])
@pytest.mark.parametrize("total", [1, 16, 20, 100, 1000])
def test_a_resumed_run_is_looked_at_where_an_unbroken_one_is(probe: ProbeBase, total: int) -> None:
    whole = looks(probe, total)
    for begun in range(total + 1):
        assert looks(probe, total, begun) == [step for step in whole if step > begun]


def test_a_cadence_that_is_given_is_kept() -> None:
    assert looks(Rates(every_steps=30), 100) == [30, 60, 90, 100]
    assert len(looks(Sharpness(), 10_000)) in (12, 13)


def test_probes_decide_nothing_of_a_training() -> None:
    assert of([]).hash == of([{"kind": "rates", "every_steps": 3}]).hash == Experiment.model_validate(SPEC).hash
    assert Experiment.model_validate(SPEC).probes == DEFAULT_PROBES


def test_a_probe_twice_is_refused() -> None:
    with pytest.raises(Invalid) as refused:
        of([{"kind": "rates"}, {"kind": "start"}, {"kind": "rates", "every_steps": 3}])
    assert [(each.pointer, each.code) for each in refused.value.problems] == [("/probes/2/kind", "repeated")]


def test_a_probe_that_will_have_nothing_to_say_is_warned_of() -> None:
    found = codes(of([{"kind": "rates"}, {"kind": "norm_modes"}, {"kind": "updates", "every_steps": 101}]))
    assert found == [("/probes/0", "ignored"), ("/probes/1", "ignored"), ("/probes/2/every_steps", "never_due")]
    assert codes(of([{"kind": "rates"}], optimizer={"kind": "adam"})) == []
    assert codes(of([{"kind": "norm_modes"}], model={"kind": "mlp", "norm": "batch"}, batch_size=20)) == []
    assert codes(of([each.model_dump() for each in DEFAULT_PROBES])) == []


@pytest.mark.parametrize(
    ("probe", "pointer", "words"),
    [
        ({"kind": "weights", "name": "layer.*"}, "/probes/0/name", "no parameter of the model is called like that"),
        ({"kind": "weights", "name": "*"}, "/probes/0/name", "at most 64 become series"),
        ({"kind": "weights", "projections": 0}, "/probes/0/name", "give a pattern of names"),
        ({"kind": "slice", "along": {"layers.9.bias": [1.0]}}, "/probes/0/along/layers.9.bias", "no such parameter"),
        ({"kind": "slice", "along": {"layers.2.bias": [1.0]}}, "/probes/0/along/layers.2.bias", "1 numbers for 3"),
        (
            {"kind": "plane", "along": [{"layers.2.bias": [1, 2, 3]}, {"layers.2.bias": [1, 2]}]},
            "/probes/0/along/1/layers.2.bias",
            "2 numbers for 3 of shape (3,)",
        ),
        ({"kind": "plane", "x": [float(at) for at in range(102)]}, "/probes/0/x", "at most 101 positions"),
    ],
)
def test_a_probe_that_does_not_fit_the_model_is_refused(probe: dict[str, Any], pointer: str, words: str) -> None:
    with pytest.raises(Invalid) as caught:
        of([probe], model={"kind": "mlp", "hidden": [64]})
    (problem,) = caught.value.problems
    assert problem.pointer == pointer
    assert words in problem.detail


def test_a_probe_that_fits_the_model_is_taken() -> None:
    along = {"layers.2.bias": [1.0, 0.0, 0.0]}
    spec = of([{"kind": "slice", "along": along, "at": [0.0, 1.0]}, {"kind": "weights", "name": "layers.2.bias"}])
    assert [probe.kind for probe in spec.probes] == ["slice", "weights"]
    assert codes(spec) == []
