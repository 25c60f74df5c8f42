"""Groups in a document: who gets which parameter, and what is refused, with the place and the remedy."""

from typing import Any

import pytest

from service.errors import Invalid
from service.spec.checks.experiment import find_problems, find_warnings
from service.spec.experiment import Experiment
from service.spec.group_assignment import assign_groups
from service.spec.parse.document import validate

BASE: dict[str, Any] = {
    "dataset": {"kind": "iris"},
    "model": {"kind": "mlp", "hidden": [8], "norm": "batch"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "adamw", "lr": 0.01},
    "steps": 10,
}
FOUR = ["layers.1.weight", "layers.1.bias", "layers.0.bias", "layers.3.bias"]
MUON = {"match": {"dim": 2}, "optimizer": {"kind": "muon"}}


def parsed(**changes: Any) -> Experiment:
    return validate(Experiment, BASE | changes)


def found(**changes: Any) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.code) for problem in find_problems(parsed(**changes))]


def warned(**changes: Any) -> list[tuple[str, str]]:
    return [(problem.pointer, problem.code) for problem in find_warnings(parsed(**changes))]


def groups(**changes: Any) -> dict[str, tuple[str, ...]]:
    spec = parsed(**changes)
    assert find_problems(spec) == []
    return {group.label: group.names for group in assign_groups(spec)}


def test_without_rules_everything_is_in_the_default_group() -> None:
    everything = (
        "layers.0.weight",
        "layers.0.bias",
        "layers.1.weight",
        "layers.1.bias",
        "layers.3.weight",
        "layers.3.bias",
    )
    assert groups() == {"default": everything}


def test_without_decay_are_biases_and_normalisations() -> None:
    made = groups(no_decay=True)
    assert made["default"] == ("layers.0.weight", "layers.3.weight")
    assert sorted(made["no_decay"]) == sorted(FOUR)


def test_the_first_rule_that_matches_has_the_parameter() -> None:
    rules = [
        {"match": {"name": "layers.3.*"}, "name": "head"},
        {"match": {"module": "Linear", "dim_lt": 2}, "lr": 0.1},
        {"match": {"name": "*"}, "weight_decay": 0.0},
    ]
    made = groups(groups=rules)
    assert made["head"] == ("layers.3.weight", "layers.3.bias")
    assert made["group1"] == ("layers.0.bias",)
    assert made["group2"] == ("layers.0.weight", "layers.1.weight", "layers.1.bias")
    assert "default" not in made


def test_a_group_shows_its_settings_and_its_parameters() -> None:
    spec = parsed(groups=[{"match": {"name": "layers.3.*"}, "lr": 0.1, "set": {"betas": [0.8, 0.9]}, "name": "head"}])
    head = assign_groups(spec)[1].document()
    assert head["optimizer"] == spec.optimizer.model_dump(mode="json") | {"lr": 0.1, "betas": [0.8, 0.9]}
    assert (head["label"], head["frozen"], head["parameters"]) == ("head", False, ["layers.3.weight", "layers.3.bias"])


def test_a_group_that_is_trained_later_says_from_when_and_old_rules_keep_their_hash() -> None:
    rule: dict[str, Any] = {"match": {"name": "layers.[01].*"}, "name": "body"}
    late = parsed(groups=[rule | LATE | {"lr": 0.1}], layer_decay=0.5)
    shown = {group.label: group.document() for group in assign_groups(late)}
    assert {label: each.get("unfreeze_at") for label, each in shown.items()} == {"default@1": None, "body@0": 6}
    assert shown["body@0"]["optimizer"]["lr"] == 0.05
    plain = parsed(groups=[rule])
    assert plain.hash == parsed(groups=[rule | {"unfreeze_at": None, "norm_statistics": "train"}]).hash
    others = [rule | LATE, rule | {"freeze": True}, rule | {"norm_statistics": "frozen"}]
    assert len({plain.hash, *(parsed(groups=[each]).hash for each in others)}) == 4


def test_layers_decay_from_the_output_in_every_group() -> None:
    spec = parsed(layer_decay=0.5, groups=[{"match": {"dim_lt": 2}, "lr": 0.1, "name": "thin"}])
    rates = {group.label: group.optimizer.lr for group in assign_groups(spec) if group.optimizer}
    deepest = max(parameter.depth for parameter in spec.layout or ())
    assert rates[f"default@{deepest}"] == 0.01
    assert rates[f"thin@{deepest - 1}"] == 0.05


DIM2: dict[str, Any] = {"match": {"dim": 2}}
LATE: dict[str, Any] = {"freeze": True, "unfreeze_at": 6}
NESTEROV = {"kind": "sgd", "nesterov": True, "momentum": 0.9}
REFUSED_RULES: dict[str, tuple[list[Any], str, str]] = {
    "muon for vectors": ([MUON | {"match": {"name": "*.3.*"}}], "/groups/0/optimizer/kind", "wrong_parameter"),
    "no such name": ([{"match": {"name": "layer.*"}}], "/groups/0/match", "matches_nothing"),
    "all taken": ([{"match": {"name": "*"}}, DIM2], "/groups/1/match", "matches_nothing"),
    "empty match": ([{"match": {}}], "/groups/0/match", "missing"),
    "a typo": ([DIM2 | {"set": {"beta": [0.9, 0.9]}}], "/groups/0/set/beta", "unknown_field"),
    "a value": ([DIM2 | {"set": {"betas": [0.9, 1.5]}}], "/groups/0/set/betas/1", "less_than"),
    "lr in set": ([DIM2 | {"set": {"lr": 0.1}}], "/groups/0/set/lr", "misplaced"),
    "kind in set": ([DIM2 | {"set": {"kind": "sgd"}}], "/groups/0/set/kind", "misplaced"),
    "a frozen rate": ([DIM2 | {"lr": 0.1, "freeze": True}], "/groups/0/freeze", "contradiction"),
    "two places": ([MUON | {"lr": 0.1}], "/groups/0/optimizer", "contradiction"),
    "all frozen": ([{"match": {"name": "*"}, "freeze": True}], "/groups", "contradiction"),
    "unused": ([{"match": {"name": "*"}, "optimizer": {"kind": "sgd"}}], "/optimizer", "no_effect"),
    "reserved": ([DIM2 | {"name": "default"}], "/groups/0/name", "reserved"),
    "repeated": ([DIM2 | {"name": "a"}, {"match": {"dim": 1}, "name": "a"}], "/groups/1/name", "repeated"),
    "too late": ([DIM2 | LATE | {"unfreeze_at": 11}], "/groups/0/unfreeze_at", "contradiction"),
    "not frozen": ([DIM2 | LATE | {"freeze": False}], "/groups/0/unfreeze_at", "contradiction"),
    "all frozen at first": ([{"match": {"name": "*"}} | LATE], "/groups", "contradiction"),
    "no statistics": ([DIM2 | {"norm_statistics": "frozen"}], "/groups/0/norm_statistics", "no_effect"),
    "lbfgs": ([DIM2 | {"optimizer": {"kind": "lbfgs"}}], "/groups/0/optimizer/kind", "contradiction"),
}
REFUSED: list[tuple[dict[str, Any], tuple[str, str]]] = [
    *(({"groups": rules}, (pointer, code)) for rules, pointer, code in REFUSED_RULES.values()),
    ({"optimizer": {"kind": "muon"}}, ("/optimizer/kind", "wrong_parameter")),
    ({"optimizer": {"kind": "sparse_adam"}}, ("/optimizer/kind", "wrong_parameter")),
    ({"optimizer": {"kind": "lbfgs"}, "groups": [DIM2]}, ("/groups/0", "contradiction")),
    ({"optimizer": {"kind": "lbfgs"}, "groups": [DIM2 | LATE]}, ("/groups/0", "contradiction")),
    ({"optimizer": {"kind": "lbfgs"}, "layer_decay": 0.5}, ("/layer_decay", "contradiction")),
    ({"optimizer": {"kind": "lecture_adagrad"}, "no_decay": True}, ("/no_decay", "contradiction")),
    (
        {"optimizer": NESTEROV, "groups": [DIM2 | {"set": {"momentum": 0.0}}]},
        ("/groups/0/set/nesterov", "contradiction"),
    ),
]


@pytest.mark.parametrize(("changes", "problem"), REFUSED, ids=str)
def test_what_cannot_be_is_refused_at_its_place(changes: dict[str, Any], problem: tuple[str, str]) -> None:
    assert found(**changes) == [problem]


def test_muons_refusal_names_the_parameter_and_a_rule_that_helps() -> None:
    (problem,) = find_problems(parsed(optimizer={"kind": "muon"}))
    assert problem.detail.startswith("layers.0.bias (3 more like it): muon steps matrices, and its shape is [8]")
    assert '{"match": {"dim_lt": 2}, "optimizer": {"kind": "adamw"}}' in problem.detail
    assert found(optimizer={"kind": "muon"}, groups=[{"match": {"dim_lt": 2}, "optimizer": {"kind": "adamw"}}]) == []


def test_sparse_gradients_need_an_optimizer_that_takes_them() -> None:
    layers = [{"layer": "Embedding", "num_embeddings": 16, "embedding_dim": 4, "sparse": True}]
    model = {"kind": "sequential", "layers": layers}
    spec = parsed(model=model)
    parameter = spec.model.leaves((4,), 3)
    assert parameter is not None
    (table,) = [p for leaf in parameter for p in leaf.parameters()]
    assert table.sparse
    assert spec.optimizer.refusal(table).startswith("its gradient is sparse")
    for kind in ("sgd", "adagrad", "sparse_adam"):
        assert parsed(optimizer={"kind": kind}).optimizer.refusal(table) == ""


def test_a_close_name_is_offered() -> None:
    (problem,) = find_problems(parsed(groups=[{"match": {"module": "BatchNorm2d"}}]))
    assert problem.did_you_mean == "BatchNorm1d"
    (problem,) = find_problems(parsed(groups=[{"match": {"dim": 2}, "set": {"betaz": [0.9, 0.9]}}]))
    assert problem.did_you_mean == "betas"


def test_what_is_probably_not_meant_is_said() -> None:
    assert ("/optimizer/kind", "noisy_gradient") in warned(optimizer={"kind": "rprop"})
    assert ("/optimizer/kind", "noisy_gradient") not in warned(optimizer={"kind": "rprop"}, batch_size="full")
    assert ("/optimizer/line_search_fn", "may_diverge") in warned(optimizer={"kind": "lbfgs"})
    assert ("/optimizer/centered", "may_diverge") in warned(optimizer={"kind": "rmsprop", "centered": True})
    cosine = {"kind": "cosine"}
    assert ("/optimizer/kind", "schedule_not_meant") in warned(optimizer={"kind": "schedule_free_sgd"}, schedule=cosine)
    assert ("/no_decay", "no_effect") in warned(optimizer={"kind": "sgd"}, no_decay=True)
    plain = {"kind": "linear", "bias": False}
    assert ("/no_decay", "no_effect") in warned(model=plain, no_decay=True)


BOUNDS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "sgd", "momentum": 5}, "/optimizer/momentum"),
    ({"kind": "sgd", "dampening": -3}, "/optimizer/dampening"),
    ({"kind": "adam", "lr": "0.1"}, "/optimizer/lr"),
    ({"kind": "adam", "amsgrad": "no"}, "/optimizer/amsgrad"),
    ({"kind": "adam", "eps": 0}, "/optimizer/eps"),
    ({"kind": "rmsprop", "alpha": 1.5}, "/optimizer/alpha"),
    ({"kind": "adadelta", "rho": 1.0}, "/optimizer/rho"),
    ({"kind": "muon", "momentum": 2}, "/optimizer/momentum"),
    ({"kind": "asgd", "lambd": -1}, "/optimizer/lambd"),
    ({"kind": "lbfgs", "line_search_fn": "foo"}, "/optimizer/line_search_fn"),
    ({"kind": "adafactor", "beta2_decay": 0.5}, "/optimizer/beta2_decay"),
    ({"kind": "adafactor", "d": 0.5}, "/optimizer/d"),
    ({"kind": "rprop", "etas": [1.5, 1.2]}, "/optimizer/etas/0"),
    ({"kind": "muon", "ns_steps": 100}, "/optimizer/ns_steps"),
    ({"kind": "adamw", "weight_decy": 0.1}, "/optimizer/weight_decy"),
    ({"kind": "pytorch_optimizer", "name": "nero"}, "/optimizer/name"),
    ({"kind": "pytorch_optimizer", "name": "lion", "settings": {"__class__": 1}}, "/optimizer/settings/__class__"),
    ({"kind": "pytorch_optimizer", "name": "lion", "settings": {"betas": {"a": 1}}}, "/optimizer/settings/betas"),
]


@pytest.mark.parametrize(("optimizer", "pointer"), BOUNDS, ids=str)
def test_what_torch_accepts_in_silence_is_refused(optimizer: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        parsed(optimizer=optimizer)
    assert [problem.pointer for problem in caught.value.problems] == [pointer]


def test_step_sizes_the_wrong_way_round_and_misplaced_settings_are_refused() -> None:
    assert found(optimizer={"kind": "rprop", "step_sizes": [50, 1e-6]}) == [("/optimizer/step_sizes", "contradiction")]
    own = {"kind": "pytorch_optimizer", "name": "lion", "settings": {"lr": 0.1, "foreach": True}}
    pointers = [("/optimizer/settings/lr", "contradiction"), ("/optimizer/settings/foreach", "unknown_field")]
    assert found(optimizer=own) == pointers
