"""Settings that torch accepts silently and trains wrongly with are refused early, and the answer helps."""

import json
from typing import Any

import pytest

from service.errors import Invalid, Malformed, Problem
from service.spec.effective import effective_settings
from service.spec.parse.document import read_json
from service.spec.parse.experiment import parse_experiment

PLAIN: dict[str, Any] = {
    "dataset": {"kind": "iris"},
    "model": {"kind": "mlp", "hidden": [8]},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd", "lr": 0.1},
    "steps": 100,
}
NAN, INF = float("nan"), float("inf")
CYCLIC = {"kind": "cyclic", "base_lr": 0.1, "max_lr": 0.5}
LINEAR = {"layer": "Linear", "out_features": 3}
LISTED = {"kind": "sequential", "layers": [{"layer": "Linear", "out_features": 8}, {"layer": "BatchNorm1d"}, LINEAR]}
SINGLE = [{"layer": "Linear", "out_features": 8}, {"layer": "GroupNorm", "num_groups": 8}, LINEAR]
PARTS = [{"kind": "constant"}, {"kind": "constant"}, {"kind": "constant"}]


def refused(changes: dict[str, Any]) -> list[Problem]:
    with pytest.raises(Invalid) as caught:
        parse_experiment(PLAIN | changes)
    return list(caught.value.problems)


def optimizer(kind: str, **fields: Any) -> dict[str, Any]:
    return {"optimizer": {"kind": kind, **fields}}


def schedule(kind: str, **fields: Any) -> dict[str, Any]:
    return {"schedule": {"kind": kind, **fields}}


# What torch does with each, measured with 2.13: in the comment. Then where the answer points, and what is allowed.
SILENT: list[tuple[dict[str, Any], str, Any]] = [
    # weights become NaN or infinite
    (optimizer("sgd", lr=NAN), "/optimizer/lr", None),
    (optimizer("sgd", lr=INF), "/optimizer/lr", None),
    (optimizer("sgd", weight_decay=NAN), "/optimizer/weight_decay", None),
    (optimizer("sgd", momentum=NAN), "/optimizer/momentum", None),
    (optimizer("adam", lr=INF), "/optimizer/lr", None),
    # accepted: grows without bound, or steps uphill
    (optimizer("sgd", momentum=5), "/optimizer/momentum", {"lt": 1}),
    (optimizer("sgd", momentum=0.9, dampening=-3), "/optimizer/dampening", {"ge": 0}),
    # a TypeError inside the constructor
    (optimizer("adam", lr="0.1"), "/optimizer/lr", None),
    # accepted as true
    (optimizer("adam", amsgrad="no"), "/optimizer/amsgrad", None),
    # NaN at the first gradient of 0
    (optimizer("adam", eps=0), "/optimizer/eps", {"gt": 0}),
    # NaN at step 2
    (optimizer("rmsprop", alpha=1.5), "/optimizer/alpha", {"lt": 1}),
    # accepted
    (optimizer("adadelta", rho=1.0), "/optimizer/rho", {"lt": 1}),
    (optimizer("muon", momentum=2), "/optimizer/momentum", {"lt": 1}),
    (optimizer("asgd", lambd=-1), "/optimizer/lambd", {"ge": 0}),
    (optimizer("rprop", step_sizes=[50, 1e-6]), "/optimizer/step_sizes", None),
    # accepted and ignored
    (
        {"groups": [{"match": {"dim_lt": 2}, "weight_decy": 0}]},
        "/groups/0/weight_decy",
        None,
    ),
    (
        {"groups": [{"match": {"dim_lt": 2}, "set": {"momentun": 0.5}}]},
        "/groups/0/set/momentun",
        None,
    ),
    # accepted until the first step
    (optimizer("lbfgs", line_search_fn="foo"), "/optimizer/line_search_fn", ["strong_wolfe"]),
    # a division by zero, or a negative base of a power, while it trains
    (schedule("step", step_size=0), "/schedule/step_size", {"ge": 1}),
    (schedule("cosine", T_max=0), "/schedule/T_max", {"ge": 1}),
    ({"schedule": CYCLIC | {"step_size_up": 0}}, "/schedule/step_size_up", {"ge": 1}),
    (schedule("polynomial", power=-1), "/schedule/power", {"ge": 0}),
    # rates of alternating sign, growing, or NaN
    (schedule("step", step_size=3, gamma=-1), "/schedule/gamma", {"gt": 0}),
    (schedule("step", step_size=3, gamma=10), "/schedule/gamma", {"le": 1}),
    (schedule("exponential", gamma=NAN), "/schedule/gamma", None),
    # the rate rises where it is meant to fall
    (schedule("cosine", eta_min=0.5), "/schedule/eta_min", 0.1),
    (schedule("cosine_restarts", T_0=10, eta_min=0.5), "/schedule/eta_min", 0.1),
    (schedule("warmup", steps=5, after={"kind": "cosine", "eta_min": 0.5}), "/schedule/after/eta_min", 0.1),
    ({"schedule": CYCLIC | {"base_lr": 0.6}}, "/schedule/base_lr", 0.5),
    # some milestones never count
    (schedule("multistep", milestones=[30, 10]), "/schedule/milestones", None),
    (schedule("multistep", milestones=[10, 10]), "/schedule/milestones", None),
    # the rate stays at start_factor for ever
    (schedule("linear", total_iters=0), "/schedule/total_iters", {"ge": 1}),
    # a part is skipped
    (schedule("sequential", schedules=PARTS, milestones=[4, 2]), "/schedule/milestones", None),
    # the rate changes its sign
    (schedule("plateau", factor=-0.5), "/schedule/factor", {"gt": 0}),
    # (3, 4) becomes (-0.6, -0.8): uphill
    ({"clip": {"norm": -1}}, "/clip/norm", {"gt": 0}),
    ({"clip": {"value": -1}}, "/clip/value", {"gt": 0}),
]


@pytest.mark.parametrize(("changes", "pointer", "limit"), SILENT, ids=lambda value: value if type(value) is str else "")
def test_what_torch_takes_silently_is_refused_with_its_place_and_range(
    changes: dict[str, Any], pointer: str, limit: Any
) -> None:
    (found,) = refused(changes)
    assert found.pointer == pointer
    if limit is not None:
        assert found.limit == limit
    assert len(found.detail) > 10


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_has_not_are_no_document(number: str) -> None:
    text = json.dumps(PLAIN).replace("0.1", number)
    with pytest.raises(Malformed) as caught:
        read_json(text.encode())
    assert caught.value.problems[0].code == "not_finite"


@pytest.mark.parametrize(
    ("changes", "pointer", "meant"),
    [
        ({"groups": [{"match": {"dim_lt": 2}, "weight_decy": 0}]}, "/groups/0/weight_decy", "weight_decay"),
        (optimizer("sgd", momentun=0.9), "/optimizer/momentun", "momentum"),
        (optimizer("adamm"), "/optimizer/kind", "adam"),
        ({"acumulate": 2}, "/acumulate", "accumulate"),
        ({"precision": "fp61"}, "/precision", None),
    ],
)
def test_a_misspelt_word_is_answered_with_the_one_that_was_meant(
    changes: dict[str, Any], pointer: str, meant: str | None
) -> None:
    (found,) = refused(changes)
    assert (found.pointer, found.did_you_mean) == (pointer, meant)


def test_a_centered_rmsprop_is_warned_of() -> None:
    """Torch's step grows from 0.10 to 1.52 in a thousand constant gradients; varying ones are what it is for."""
    given = parse_experiment(PLAIN | optimizer("rmsprop", centered=True))
    assert "/optimizer/centered" in [warning.pointer for warning in given.warnings]


@pytest.mark.parametrize("shape", [{"kind": "one_cycle", "max_lr": 0.5}, CYCLIC])
def test_no_schedule_gives_an_optimizer_a_momentum_unasked(shape: dict[str, Any]) -> None:
    """Torch's default gives a plain SGD one of 0.95 or 0.9."""
    plain = parse_experiment(PLAIN | {"schedule": shape})
    assert plain.spec.momentum(50) is None
    assert effective_settings(plain.spec)["momentum"] == {"own": 0.0, "smallest": 0.0, "largest": 0.0}
    asked = parse_experiment(PLAIN | {"schedule": shape | {"cycle_momentum": True}})
    assert "/optimizer/momentum" in [warning.pointer for warning in asked.warnings]
    assert effective_settings(asked.spec)["momentum"]["largest"] > 0.8
    (found,) = refused(optimizer("adagrad") | {"schedule": shape | {"cycle_momentum": True}})
    assert (found.pointer, found.code) == ("/schedule/cycle_momentum", "contradiction")


# Fields that are right alone and contradict each other: the pointer, and the other field that the answer names
PAIRS: list[tuple[dict[str, Any], str, str]] = [
    ({"epochs": 3}, "/steps", "epochs"),
    (optimizer("sgd", nesterov=True), "/optimizer/nesterov", "momentum"),
    (optimizer("sgd", dampening=0.5), "/optimizer/dampening", "momentum"),
    ({"loss": {"kind": "mse"}}, "/loss/kind", "/dataset/kind"),
    ({"loss": {"kind": "bce_with_logits"}}, "/loss/kind", "/dataset/kind"),
    ({"batch_size": 500}, "/batch_size", "/dataset"),
    ({"batch_size": 1, "model": {"kind": "mlp", "norm": "batch"}}, "/batch_size", "/model/norm"),
    ({"accumulate": 4, "batch_size": 6, "model": {"kind": "mlp", "norm": "batch"}}, "/accumulate", "/model/norm"),
    ({"batch_size": 1, "model": LISTED}, "/batch_size", "/model/layers/1 (BatchNorm1d)"),
    ({"batch_size": 17, "model": LISTED}, "/batch_size", "set /drop_last to true"),  # 120 rows: the last batch has 1
    ({"batch_size": 17, "accumulate": 2, "model": LISTED}, "/accumulate", "set /drop_last to true"),
    (
        {"batch_size": 1, "dataset": {"kind": "digits"}, "model": {"kind": "resnet"}},
        "/batch_size",
        "/model (BatchNorm2d)",
    ),
    ({"model": {"kind": "mlp", "hidden": [8, 1], "norm": "layer"}}, "/model/norm", "LayerNorm gets a single value"),
    ({"model": {"kind": "sequential", "layers": SINGLE}}, "/model/layers/1", "GroupNorm gets a single value"),
    ({"accumulate": 33, "batch_size": 32}, "/accumulate", "/batch_size"),
    (optimizer("lbfgs", line_search_fn="strong_wolfe") | {"precision": "fp16"}, "/precision", "/optimizer/kind"),
    ({"clip": {"norm": 1, "value": 1}}, "/clip", "norm and value"),
    ({"clip": {}}, "/clip", "norm and value"),
    ({"dataset": {"kind": "iris", "validation": 0}, "average": {"kind": "ema"}}, "/average", "/dataset/validation"),
    ({"average": {"kind": "swa", "start": 101}}, "/average/start", "/steps"),
    ({"stop": {"target": {"series": "val/loss"}}}, "/stop/target", "below and above"),
    ({"stop": {}}, "/stop", "target"),
    (
        {"stop": {"target": {"series": "average/val/loss", "below": 1}}},
        "/stop/target/series",
        "/average",
    ),
    (
        {"stop": {"patience": {"evaluations": 3, "series": "val/loss"}}, "dataset": {"kind": "iris", "validation": 0}},
        "/stop/patience/series",
        "/dataset/validation",
    ),
    (
        {
            "stop": {"target": {"series": "val/accuracy", "above": 0.5}},
            "dataset": {"kind": "diabetes"},
            "loss": {"kind": "mse"},
        },
        "/stop/target/series",
        "/dataset/kind",
    ),
    ({"restarts": 3, "seeds": [7]}, "/restarts", "/seeds"),
    (schedule("warmup", steps=101), "/schedule/steps", "/steps"),
    (schedule("plateau") | {"dataset": {"kind": "iris", "validation": 0}}, "/schedule/watch", "/dataset/validation"),
]


@pytest.mark.parametrize(("changes", "pointer", "other"), PAIRS, ids=[f"{p} {o}" for _, p, o in PAIRS])
def test_a_contradiction_names_both_fields(changes: dict[str, Any], pointer: str, other: str) -> None:
    (found,) = refused(changes)
    assert found.pointer == pointer
    assert other in found.detail


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"accumulate": 0}, "/accumulate"),
        ({"average": {"kind": "ema", "decay": 1}}, "/average/decay"),
        ({"average": {"kind": "swa", "start": 1.5}}, "/average/start"),
        ({"average": {"kind": "swa", "start": 0}}, "/average/start"),
        ({"stop": {"seconds": 0}}, "/stop/seconds"),
        ({"stop": {"grad_norm_below": -1}}, "/stop/grad_norm_below"),
        ({"stop": {"patience": {"evaluations": 0}}}, "/stop/patience/evaluations"),
        ({"stop": {"target": {"series": "loss/val", "below": 1}}}, "/stop/target/series"),
        ({"restarts": 0}, "/restarts"),
        ({"seeds": [1, 1]}, "/seeds"),
        ({"nonfinite": "ignore"}, "/nonfinite"),
        ({"nonfinite": {"stop_after": 0}}, "/nonfinite/stop_after"),
    ],
)
def test_the_mechanics_have_their_ranges(changes: dict[str, Any], pointer: str) -> None:
    assert [found.pointer for found in refused(changes)] == [pointer]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"accumulate": 2, "model": {"kind": "mlp", "norm": "batch"}}, "/accumulate"),
        ({"average": {"kind": "ema", "decay": 0.999}}, "/average/decay"),
        ({"stop": {"patience": {"evaluations": 50}}}, "/stop/patience/evaluations"),
        ({"stop": {"seconds": 5}}, "/stop/seconds"),
        ({"stop": {"target": {"series": "val/accuracy", "below": 0.9}}}, "/stop/target"),
        ({"stop": {"target": {"series": "val/loss", "above": 0.1}}}, "/stop/target"),
        ({"determinism": "warn"}, "/determinism"),
        ({"determinism": "off"}, "/determinism"),
    ],
)
def test_what_is_probably_not_meant_is_warned_of(changes: dict[str, Any], pointer: str) -> None:
    assert pointer in [warning.pointer for warning in parse_experiment(PLAIN | changes).warnings]


def test_a_target_in_the_better_direction_is_not_warned_of() -> None:
    for target in ({"series": "val/accuracy", "above": 0.9}, {"series": "loss", "below": 0.1}):
        assert "/stop/target" not in [
            each.pointer for each in parse_experiment(PLAIN | {"stop": {"target": target}}).warnings
        ]


def test_everything_wrong_is_said_at_once() -> None:
    changes = {"optimizer": {"kind": "sgd", "learning_rate": -1}, "steps": 0, "clip": {"norm": 0}}
    assert [found.pointer for found in refused(changes)] == ["/optimizer/learning_rate", "/steps", "/clip/norm"]


def test_every_device_gets_a_row_of_every_batch() -> None:
    (problem,) = refused({"batch_size": 4, "resources": {"devices": 8}})
    assert (problem.pointer, problem.code, problem.limit) == ("/resources/devices", "contradiction", 4)
    (problem,) = refused({"batch_size": 8, "accumulate": 4, "resources": {"devices": 4}})
    assert problem.limit == 2
    assert parse_experiment(PLAIN | {"batch_size": 8, "accumulate": 4, "resources": {"devices": 2}})
    assert [each.pointer for each in refused({"resources": {"devices": 17}})] == ["/resources/devices"]
    assert refused({"resources": {"memory_mb": 0}})


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"optimizer": {"kind": "lbfgs"}, "batch_size": "full"}, "/optimizer/kind lbfgs computes several gradients"),
        ({"compile": True}, "sums over devices cannot be translated"),
        (
            {"dataset": {"kind": "none"}, "model": {"kind": "rosenbrock"}, "loss": {"kind": "objective"}},
            "/dataset is an objective",
        ),
    ],
    ids=["a line search", "compiled", "an objective"],
)
def test_what_several_devices_cannot_train_is_refused(changes: dict[str, Any], named: str) -> None:
    assert any(named in problem.detail for problem in refused(changes | {"resources": {"devices": 2}}))


def test_a_compiled_model_computes_no_activation_twice() -> None:
    model = {"kind": "resnet", "activation_checkpointing": True}
    (problem,) = refused({"dataset": {"kind": "digits"}, "model": model, "compile": True})
    assert problem.pointer == "/compile"
    assert "/model/activation_checkpointing" in problem.detail


def test_resources_are_hashed_only_where_they_affect_the_training() -> None:
    plain = parse_experiment(PLAIN).spec.hash
    assert parse_experiment(PLAIN | {"resources": {"memory_mb": 500}}).spec.hash == plain
    assert parse_experiment(PLAIN | {"resources": {"devices": 2}}).spec.hash != plain
