"""What a model refuses before it is built, and what the refusal tells."""

import json
from typing import Any

import pytest

from service.spec.checks.experiment import find_problems, find_warnings
from service.spec.experiment import Experiment
from service.spec.parse.experiment import parse_experiment

PLAIN: dict[str, Any] = {
    "dataset": {"kind": "digits"},
    "loss": {"kind": "cross_entropy"},
    "optimizer": {"kind": "sgd"},
    "steps": 10,
}
NOTHING: dict[str, Any] = {"dataset": {"kind": "none"}, "loss": {"kind": "objective"}, "batch_size": "full"}


def refused(model: dict[str, Any], **changes: Any) -> list[tuple[str, str]]:
    spec = Experiment.model_validate(PLAIN | {"model": model} | changes)
    return [(problem.pointer, problem.detail) for problem in find_problems(spec)]


def layers(*given: dict[str, Any]) -> dict[str, Any]:
    return {"kind": "sequential", "layers": given}


FLATTEN: dict[str, Any] = {"layer": "Flatten"}
LINEAR: dict[str, Any] = {"layer": "Linear", "out_features": 10}


@pytest.mark.parametrize(
    ("given", "pointer", "words"),
    [
        (
            (LINEAR,),
            "/model/layers/0",
            "the last layer (Linear) gives [1, 8, 10] a row, and [10] is needed: end with Flatten",
        ),
        ((FLATTEN, LINEAR | {"out_features": 9}), "/model/layers/1", "set out_features to 10"),
        ((FLATTEN,), "/model/layers/0", "end with Linear with out_features 10"),
        (
            (FLATTEN, LINEAR, {"layer": "Conv2d", "out_channels": 3, "kernel_size": 3}),
            "/model/layers/2",
            "layer 2 (Conv2d) takes rows (channels, height, width), and gets [10]",
        ),
        (
            ({"layer": "Conv2d", "out_channels": 3, "kernel_size": 9}, FLATTEN, LINEAR),
            "/model/layers/0",
            "layer 0 (Conv2d) needs 9 positions each way, and has 8 x 8 with its padding",
        ),
        (
            ({"layer": "Conv2d", "out_channels": 4, "kernel_size": 1, "groups": 2}, FLATTEN, LINEAR),
            "/model/layers/0",
            "2 groups",
        ),
        (({"layer": "GroupNorm", "num_groups": 2}, FLATTEN, LINEAR), "/model/layers/0", "do not divide 1 channels"),
        (({"layer": "MaxPool2d", "kernel_size": 2, "padding": 2}, FLATTEN, LINEAR), "/model/layers/0", "at most half"),
        ((FLATTEN, {"layer": "Unflatten", "unflattened_size": (7, 9)}), "/model/layers/1", "which is not 64 numbers"),
        (
            (FLATTEN, {"layer": "Embedding", "num_embeddings": 5, "embedding_dim": 2}, FLATTEN, LINEAR),
            "/model/layers/1",
            "layer 1 (Embedding) takes token ids, and gets numbers",
        ),
    ],
)
def test_a_layer_that_does_not_fit_is_named_with_its_position_and_why(given: Any, pointer: str, words: str) -> None:
    ((where, detail),) = refused(layers(*given))
    assert where == pointer
    assert words in detail


def test_a_wrong_layer_or_field_is_pointed_at_in_its_place() -> None:
    from service.errors import Invalid
    from service.spec.parse.document import validate

    given = [{"layer": "Linaer"}, {"out_features": 3}, LINEAR | {"bias": 2}, {"layer": "MaxPool2d", "kernel_sise": 2}]
    with pytest.raises(Invalid) as caught:
        validate(Experiment, PLAIN | {"model": {"kind": "sequential", "layers": given}})
    found = {p.pointer: (p.code, p.did_you_mean) for p in caught.value.problems}
    assert found["/model/layers/0/layer"] == ("unknown_layer", "Linear")
    assert found["/model/layers/1/layer"] == ("missing", None)
    assert found["/model/layers/2/bias"][0] == "bool_type"
    assert found["/model/layers/3/kernel_sise"] == ("unknown_field", "kernel_size")


@pytest.mark.parametrize(
    ("model", "changes", "pointer"),
    [
        ({"kind": "quadratic"}, {}, "/model/kind"),
        ({"kind": "mlp"}, NOTHING, "/model/kind"),
        ({"kind": "quadratic", "start": (1.0,)}, NOTHING, "/model/start"),
        ({"kind": "beale"}, NOTHING | {"loss": {"kind": "mse"}}, "/loss/kind"),
        ({"kind": "beale"}, NOTHING | {"batch_size": 32}, "/batch_size"),
        ({"kind": "transformer", "vocabulary": 5}, {"dataset": {"kind": "iris"}}, "/model/vocabulary"),
        ({"kind": "transformer", "outputs_at": "every", "causal": True}, {}, "/model/outputs_at"),
        ({"kind": "transformer", "heads": 3}, {}, "/model/heads"),
        ({"kind": "transformer", "tied": True}, {}, "/model/tied"),
        ({"kind": "gru", "dropout": 0.1}, {}, "/model/dropout"),
        ({"kind": "cnn", "norm": "group", "groups": 5}, {}, "/model/groups"),
        ({"kind": "cnn", "norm": "instance", "channels": (4, 4, 4, 4), "pool": 2}, {}, "/model/channels"),
        ({"kind": "cnn", "norm": "instance", "channels": (4, 4, 4), "pool": 3}, {}, "/model/channels"),
        ({"kind": "resnet", "norm": "group", "groups": 5}, {}, "/model/groups"),
        ({"kind": "cnn1d"}, {}, "/model"),
        ({"kind": "mlp", "init": {"kind": "dirac"}}, {}, "/model/init/kind"),
        ({"kind": "mlp", "init": {"kind": "trunc_normal", "a": 1.0, "b": 0.5}}, {}, "/model/init/a"),
    ],
)
def test_what_contradicts_is_refused_with_its_pointer(model: Any, changes: dict[str, Any], pointer: str) -> None:
    assert [where for where, _ in refused(model, **changes)] == [pointer]


OBJECTIVES = ["quadratic", "rosenbrock", "beale", "double_well", "monkey_saddle", "rastrigin", "linear_objective"]


@pytest.mark.parametrize("kind", [*OBJECTIVES, "absolute"])
def test_an_objective_needs_no_data_and_nothing_warns_of_that(kind: str) -> None:
    spec = Experiment.model_validate(PLAIN | NOTHING | {"model": {"kind": kind}})
    assert find_problems(spec) == []
    assert find_warnings(spec) == []
    assert spec.steps_per_epoch == 1


def test_a_library_model_has_no_layout_and_is_not_refused_for_that() -> None:
    spec = Experiment.model_validate(PLAIN | {"model": {"kind": "timm", "name": "resnet18"}})
    assert spec.parameters is None
    assert find_problems(spec) == []


@pytest.mark.parametrize("name", ["../x", "hf-hub:me/evil", "hf_hub:me/evil", "A", "", "a" * 70, "__init__"])
def test_a_library_models_name_is_a_plain_word(name: str) -> None:
    from pydantic import ValidationError

    with pytest.raises(ValidationError, match=r"pattern"):
        Experiment.model_validate(PLAIN | {"model": {"kind": "timm", "name": name}})


CONVOLUTIONS = [
    {"layer": "Unflatten", "unflattened_size": [1, 40]},
    {"layer": "Conv1d", "out_channels": 25, "kernel_size": 5, "stride": 2, "padding": 1},
    {"layer": "ReLU"},
    {"layer": "Conv1d", "out_channels": 25, "kernel_size": 3, "stride": 2, "padding": 1},
    {"layer": "ReLU"},
    {"layer": "Conv1d", "out_channels": 25, "kernel_size": 3, "stride": 2, "padding": 1},
    {"layer": "ReLU"},
    {"layer": "Flatten"},
    {"layer": "Linear", "out_features": 10},
]


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        ({"kind": "linear"}, 410),
        ({"kind": "mlp", "hidden": [100, 100]}, 15_210),
        ({"kind": "sequential", "layers": CONVOLUTIONS}, 5_210),
    ],
    ids=["linear", "mlp", "convolutions"],
)
def test_the_models_of_the_mnist1d_paper_have_its_parameter_counts(model: dict[str, Any], parameters: int) -> None:
    document = {"dataset": {"kind": "mnist1d"}, "model": model, "loss": {"kind": "cross_entropy"}}
    spec = Experiment.model_validate_json(json.dumps(document | {"optimizer": {"kind": "adam"}, "steps": 1}))
    assert find_problems(spec) == []
    assert spec.parameters == parameters


@pytest.mark.parametrize("kind", ["linear_objective", "absolute"])
def test_the_omitted_of_start_and_slopes_is_as_long_as_the_other(kind: str) -> None:
    for given, other in (("start", "slopes"), ("slopes", "start")):
        model = parse_experiment(PLAIN | NOTHING | {"model": {"kind": kind, given: [2.0, 3.0, 4.0]}}).spec.model
        assert getattr(model, other) == (1.0, 1.0, 1.0)
    assert [pointer for pointer, _ in refused({"kind": kind, "start": (1.0,), "slopes": (1.0, 2.0)}, **NOTHING)] == [
        "/model/start"
    ]
