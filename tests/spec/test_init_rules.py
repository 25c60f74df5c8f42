"""Rules that initialise single parameters: what they fill, which one applies, and what is refused."""

from typing import Any

import pytest

from service.diagnosis.plan import Plan
from service.spec.checks.experiment import find_problems
from service.spec.experiment import Experiment
from service.spec.init_rules import assign_inits

MLP = {"kind": "mlp", "hidden": (8,)}


def spec(*rules: dict[str, Any], model: dict[str, Any] = MLP) -> Experiment:
    document = {"dataset": {"kind": "digits"}, "model": model, "loss": {"kind": "cross_entropy"}}
    return Experiment.model_validate(document | {"optimizer": {"kind": "sgd"}, "steps": 4, "inits": rules})


def rule(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"match": {"name": name}, "init": {"kind": kind} | fields}


def assigned(experiment: Experiment) -> dict[str, int]:
    return {parameter.name: at for parameter, at in assign_inits(experiment.inits, experiment.layout or ())}


def test_the_first_rule_that_can_fill_a_parameter_applies() -> None:
    made = spec(rule("layers.2.*", "xavier_uniform"), rule("*.bias", "constant", val=-10), rule("*", "zeros"))
    assert find_problems(made) == []
    expected = {"layers.0.weight": 2, "layers.0.bias": 1, "layers.2.weight": 0, "layers.2.bias": 1}
    assert assigned(made) == expected


def test_rules_count_in_the_hash_and_none_leaves_it_as_it_was() -> None:
    assert spec().hash != spec(rule("*", "zeros")).hash
    assert '"inits"' not in spec().model_dump_json(exclude_defaults=True)


@pytest.mark.parametrize(
    ("rules", "pointer", "words"),
    [
        ([rule("layer.0.weight", "zeros")], "/inits/0/match", "no parameter of the model is like that"),
        ([rule("*.bias", "eye")], "/inits/0/init/kind", "matrices of 2 dimensions"),
        ([rule("*.bias", "orthogonal")], "/inits/0/init/kind", "weights of 2, 3 or 4 dimensions"),
        ([rule("layers.2.bias", "values", values=(1, 2))], "/inits/0/init/kind", "/values has 2 numbers"),
        ([rule("*", "default")], "/inits/0/init/kind", "leave the rule out"),
        ([rule("*", "zeros"), rule("*", "ones")], "/inits/1/match", "move this rule forward"),
        ([{"match": {}, "init": {"kind": "zeros"}}], "/inits/0/match", "say which parameters"),
        ([rule("*", "trunc_normal", a=2, b=1)], "/inits/0/init/a", "must be below"),
    ],
)
def test_a_rule_that_does_nothing_is_refused(rules: list[dict[str, Any]], pointer: str, words: str) -> None:
    (problem,) = find_problems(spec(*rules))
    assert problem.pointer == pointer
    assert words in problem.detail


def test_the_diagnosis_sees_units_that_rules_make_alike_or_apart() -> None:
    zeros = MLP | {"init": {"kind": "zeros"}}
    assert Plan(spec(model=zeros)).starts_alike
    assert not Plan(spec(rule("layers.0.weight", "normal"), model=zeros)).starts_alike
    assert Plan(spec(rule("*.weight", "constant", val=0.1))).starts_alike
    assert not Plan(spec(rule("*.bias", "zeros"))).starts_alike
