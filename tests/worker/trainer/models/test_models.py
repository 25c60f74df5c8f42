"""Models: their shapes, their initialisation, and as many parameters as the spec says without torch."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from service.errors import RunFailure
from service.spec.experiment import Experiment
from service.spec.models import Model
from service.spec.models.leaf import ACTIVATIONS
from worker.trainer.build import build, build_model

MLPS = [
    {"kind": "mlp", "hidden": hidden, "norm": norm, "bias": bias, "dropout": 0.1}
    for hidden in ((), (5,), (7, 3, 9))
    for norm in ("none", "batch", "layer")
    for bias in (True, False)
]
CNNS = [
    {"kind": "cnn", "channels": channels, "kernel_size": kernel, "pool": pool, "hidden": hidden, "norm": norm}
    for channels in ((3,), (4, 6))
    for kernel in (1, 2, 3, 4, 5)
    for pool in (1, 2)
    for hidden in ((), (7,))
    for norm in ("none", "batch")
]
CASES = [
    (model, shape, outputs)
    for models, shapes in (
        ([{"kind": "linear"}, {"kind": "linear", "bias": False}, *MLPS], [(4,), (1, 8, 8)]),
        (CNNS, [(1, 8, 8), (3, 9, 7)]),
    )
    for model in models
    for shape in shapes
    for outputs in (1, 10)
]


def made(document: dict[str, Any], shape: tuple[int, ...], outputs: int) -> tuple[Any, nn.Module]:
    model: Any = TypeAdapter(Model).validate_python(document)
    return model, build(model, shape, outputs)


@pytest.mark.parametrize(("document", "shape", "outputs"), CASES)
def test_shapes_and_counts_are_what_the_spec_says(document: Any, shape: Any, outputs: int) -> None:
    model, module = made(document, shape, outputs)
    assert sum(p.numel() for p in module.parameters()) == model.parameters(shape, outputs)
    assert module(torch.randn(3, *shape)).shape == (3, outputs)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_an_activation_is_torchs_of_that_name(activation: str) -> None:
    _, module = made({"kind": "mlp", "hidden": (4,), "activation": activation}, (3,), 2)
    x = torch.randn(5, 4)
    function = {"identity": lambda x: x, "leaky_relu": nn.functional.leaky_relu}.get(
        activation, getattr(nn.functional, activation, getattr(torch, activation, None))
    )
    assert torch.allclose(module.layers[1](x), function(x), atol=1e-7)  # type: ignore[index, misc]


def test_layers_come_in_the_order_affine_norm_activation_dropout() -> None:
    _, module = made({"kind": "mlp", "hidden": (4,), "norm": "batch", "dropout": 0.5}, (3,), 2)
    kinds = [type(layer) for layer in module.layers]  # type: ignore[union-attr]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout, nn.Linear]


INITS: list[dict[str, Any]] = [
    {"kind": "xavier_uniform", "gain": 2.0},
    {"kind": "xavier_normal"},
    {"kind": "kaiming_uniform", "nonlinearity": "relu"},
    {"kind": "kaiming_normal", "mode": "fan_out"},
    {"kind": "orthogonal"},
    {"kind": "normal", "std": 0.02},
    {"kind": "uniform", "a": -0.5, "b": 0.5},
    {"kind": "constant", "val": 0.25},
    {"kind": "trunc_normal", "std": 0.5, "a": -0.25, "b": 1.0},
    {"kind": "zeros"},
    {"kind": "ones"},
]


@pytest.mark.parametrize("init", INITS, ids=lambda init: init["kind"])
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_an_init_fills_weights_and_zeroes_biases_and_leaves_norms_alone(kind: str, init: dict[str, Any]) -> None:
    document = {"kind": kind, "norm": "batch", "hidden": (6,), "init": init}
    torch.manual_seed(5)
    _, module = made(document, (1, 8, 8), 3)
    torch.manual_seed(5)
    _, untouched = made(document | {"init": {"kind": "default"}}, (1, 8, 8), 3)
    function = getattr(nn.init, init["kind"] + "_")
    expected = [layer for layer in untouched.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    found = [layer for layer in module.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    for ours, theirs in zip(found, expected, strict=True):
        function(theirs.weight, **{k: v for k, v in init.items() if k != "kind"})
        assert torch.equal(ours.weight, theirs.weight)
        assert ours.bias is not None
        assert not ours.bias.any()
    norms = [layer for layer in module.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert norms
    assert all((norm.weight == 1).all() for norm in norms)


def test_the_default_init_is_torchs_own() -> None:
    torch.manual_seed(1)
    _, module = made({"kind": "linear"}, (4,), 2)
    torch.manual_seed(1)
    theirs = nn.Linear(4, 2)
    assert torch.equal(module.layers[0].weight, theirs.weight)  # type: ignore[index, union-attr]
    assert torch.equal(module.layers[0].bias, theirs.bias)  # type: ignore[index, union-attr]


@pytest.mark.parametrize(("init", "filled"), [("eye", nn.Linear), ("sparse", nn.Linear), ("dirac", nn.Conv2d)])
def test_an_init_for_matrices_or_kernels_leaves_the_others_alone(init: str, filled: type[nn.Module]) -> None:
    document = {"kind": init} | ({"sparsity": 0.5} if init == "sparse" else {})
    modules = []
    for chosen in (document, {"kind": "default"}):
        torch.manual_seed(5)
        modules.append(made({"kind": "cnn", "init": chosen}, (1, 8, 8), 3)[1])
    for ours, theirs in zip(modules[0].modules(), modules[1].modules(), strict=True):
        if isinstance(ours, nn.Linear | nn.Conv2d):
            assert torch.equal(ours.weight, theirs.weight) == (not isinstance(ours, filled))  # type: ignore[arg-type]
    if init == "sparse":
        assert (modules[0].head[0].weight == 0).float().mean().item() == pytest.approx(0.5, abs=0.2)  # type: ignore[index, union-attr]


def test_an_init_fills_a_recurrent_cells_matrices_and_zeroes_its_biases() -> None:
    _, module = made({"kind": "lstm", "layers": 2, "init": {"kind": "orthogonal"}}, (6,), 3)
    for name, tensor in module.cell.named_parameters():  # type: ignore[union-attr, operator]
        if name.startswith("bias"):
            assert not tensor.any()
        else:
            product = tensor.T @ tensor  # more rows than columns: the columns are orthonormal
            assert torch.allclose(product, torch.eye(len(product)), atol=1e-5)


def test_rules_fill_what_they_match_in_torchs_order_and_leave_the_rest() -> None:
    rules: list[dict[str, Any]] = [
        {"match": {"name": "layers.2.bias"}, "init": {"kind": "constant", "val": -10}},
        {"match": {"name": "layers.0.weight"}, "init": {"kind": "eye"}},
        {"match": {"name": "layers.0.bias"}, "init": {"kind": "values", "values": (1, 2, 3)}},
        {"match": {"name": "layers.2.weight"}, "init": {"kind": "normal", "std": 0.5}},
    ]
    document: dict[str, Any] = {"dataset": {"kind": "iris"}, "model": {"kind": "mlp", "hidden": (3,)}, "steps": 1}
    document |= {"loss": {"kind": "cross_entropy"}, "optimizer": {"kind": "sgd"}}
    torch.manual_seed(3)
    plain = build_model(Experiment.model_validate(document))
    drawn = nn.init.normal_(plain.get_parameter("layers.2.weight"), std=0.5)
    torch.manual_seed(3)
    module = build_model(Experiment.model_validate(document | {"inits": tuple(rules)}))
    assert torch.equal(module.get_parameter("layers.2.bias"), torch.full((3,), -10.0))
    assert torch.equal(module.get_parameter("layers.0.weight"), torch.eye(3, 4))
    assert torch.equal(module.get_parameter("layers.0.bias"), torch.tensor([1.0, 2, 3]))
    assert torch.equal(module.get_parameter("layers.2.weight"), drawn)


def test_rules_of_a_librarys_model_are_checked_when_it_is_built() -> None:
    document: dict[str, Any] = {"dataset": {"kind": "digits"}, "loss": {"kind": "cross_entropy"}, "steps": 1}
    document |= {"model": {"kind": "torchvision", "name": "resnet18"}, "optimizer": {"kind": "sgd"}}
    zeros = {"match": {"name": "fc.bias"}, "init": {"kind": "zeros"}}
    spec = Experiment.model_validate(document | {"inits": (zeros, zeros | {"match": {"name": "head.bias"}})})
    with pytest.raises(RunFailure, match="/inits/1/match: no parameter of the model is like that"):
        build_model(spec)
