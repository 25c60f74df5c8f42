"""Every model's layout, known without torch, against the model that torch builds: names, shapes, owners, order."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from service.spec.models import Model
from worker.trainer.build import build

Case = tuple[dict[str, Any], tuple[int, ...], int]
FLAT: list[tuple[int, ...]] = [(4,), (2, 6), (1, 8, 8)]
MLPS: list[dict[str, Any]] = [
    {"kind": "mlp", "hidden": hidden, "norm": norm, "bias": bias, "dropout": dropout}
    for hidden in ((), (5,), (7, 3, 9))
    for norm in ("none", "batch", "layer", "rms")
    for bias in (True, False)
    for dropout in (0.0, 0.1)
]
EMBEDDINGS = ({"position": 2, "codes": 5, "width": 3}, {"position": 0, "codes": 2, "width": 1})
CNNS: list[dict[str, Any]] = [
    {"channels": channels, "kernel_size": kernel, "pool": pool, "hidden": hidden, "norm": norm, "groups": 2}
    | {"dropout": dropout}
    for channels in ((4, 6),)
    for kernel in (2, 3)
    for pool in (1, 2)
    for hidden, dropout in (((), 0.0), ((7,), 0.1))
    for norm in ("none", "batch", "group", "instance", "layer")
]
CASES: list[Case] = [
    *(
        ({"kind": "linear", "bias": bias}, shape, outputs)
        for bias in (True, False)
        for shape in FLAT
        for outputs in (1, 3)
    ),
    *((mlp, shape, 3) for mlp in MLPS for shape in FLAT),
    *((mlp | {"embeddings": EMBEDDINGS}, (4,), 3) for mlp in MLPS),
    *(({"kind": "cnn"} | cnn, shape, 3) for cnn in CNNS for shape in ((1, 8, 8), (3, 9, 7))),
    *(({"kind": "cnn1d"} | cnn, shape, 3) for cnn in CNNS for shape in ((20,), (3, 9))),
]


TOKENS: dict[str, Any] = {"vocabulary": 11}
EVERY: dict[str, Any] = TOKENS | {"outputs_at": "every"}
RECURRENT: list[Case] = [
    ({"kind": kind, "hidden": 5, "layers": layers, "bidirectional": both} | more, shape, 3)
    for kind in ("rnn", "gru", "lstm")
    for layers in (1, 2)
    for both in (False, True)
    for more, shape in (
        ({}, (6,)),
        ({"outputs_at": "mean"}, (2, 6)),
        ({}, (3, 4, 5)),
        (TOKENS | {"embedding": 4}, (6,)),
        (EVERY, (6,)),
    )
]
TRANSFORMERS: list[Case] = [
    ({"kind": "transformer", "width": 8, "heads": 2, "layers": layers, "norm": norm, "dropout": dropout} | more, *rest)
    for layers in (1, 3)
    for norm in ("layer", "rms")
    for dropout in (0.0, 0.1)
    for more, *rest in (
        ({}, (6,), 3),
        ({"outputs_at": "last"}, (2, 6), 3),
        ({}, (3, 4, 5), 3),
        (TOKENS, (6,), 3),
        (EVERY | {"causal": True}, (6,), 11),
        (EVERY | {"causal": True, "tied": True}, (6,), 11),
    )
]
RESNETS: list[Case] = [
    ({"kind": "resnet", "blocks": blocks, "stages": stages, "width": 4, "norm": norm}, shape, 3)
    for blocks in (1, 2)
    for stages in (1, 3)
    for norm in ("batch", "group", "none")
    for shape in ((1, 8, 8), (3, 9, 7))
]
LISTS: list[Case] = [
    ({"kind": "sequential", "layers": layers}, shape, 3)
    for shape, layers in (
        ((4,), ({"layer": "Linear", "out_features": 3, "bias": False},)),
        (
            (4,),
            (
                {"layer": "Linear", "out_features": 6},
                {"layer": "BatchNorm1d"},
                {"layer": "PReLU"},
                {"layer": "Unflatten", "unflattened_size": (2, 3)},
                {"layer": "LayerNorm"},
                {"layer": "Conv1d", "out_channels": 4, "kernel_size": 2, "padding": 1, "groups": 2},
                {"layer": "GroupNorm", "num_groups": 2},
                {"layer": "AvgPool1d", "kernel_size": 2},
                {"layer": "AdaptiveAvgPool1d"},
                {"layer": "Flatten"},
                {"layer": "RMSNorm"},
                {"layer": "Linear", "out_features": 3},
            ),
        ),
        (
            (1, 9, 11),
            (
                {"layer": "Conv2d", "out_channels": 4, "kernel_size": 3, "stride": 2, "dilation": 2, "padding": 3},
                {"layer": "BatchNorm2d"},
                {"layer": "Softplus"},
                {"layer": "MaxPool2d", "kernel_size": 3, "stride": 2, "padding": 1},
                {"layer": "InstanceNorm2d"},
                {"layer": "AvgPool2d", "kernel_size": 2, "stride": 1},
                {"layer": "Dropout"},
                {"layer": "AdaptiveAvgPool2d"},
                {"layer": "Flatten"},
                {"layer": "Linear", "out_features": 3},
            ),
        ),
        (
            (2, 9),
            (
                {"layer": "Conv1d", "out_channels": 4, "kernel_size": 3, "bias": False},
                {"layer": "InstanceNorm1d", "affine": False},
                {"layer": "MaxPool1d", "kernel_size": 2},
                {"layer": "Linear", "out_features": 5},
                {"layer": "Hardswish"},
                {"layer": "Flatten"},
                {"layer": "Linear", "out_features": 3},
            ),
        ),
    )
]
LISTS.append(
    (
        {
            "kind": "sequential",
            "layers": (
                {"layer": "Embedding", "num_embeddings": 11, "embedding_dim": 4},
                {"layer": "Flatten"},
                {"layer": "Linear", "out_features": 3},
            ),
        },
        (6,),
        3,
    )
)
OBJECTIVES: list[Case] = [
    ({"kind": "quadratic", "eigenvalues": (1.0, -2.0, 3.0), "start": (1.0, 1.0, 1.0)}, (), 1),
    *(({"kind": kind}, (), 1) for kind in ("rosenbrock", "beale", "double_well", "monkey_saddle", "toy_linear_net")),
    *(({"kind": kind, "slopes": (1.0, 2.0), "start": (1.0, 1.0)}, (), 1) for kind in ("linear_objective", "absolute")),
    ({"kind": "rastrigin", "start": (1.0,) * 7, "spread": 0.1}, (), 1),
]
CASES += [*RECURRENT, *TRANSFORMERS, *RESNETS, *LISTS, *OBJECTIVES]
CASES += [({"kind": "sum_of_units", "units": 5, "unit": unit}, (3,), 2) for unit in ("sigmoid", "hardsigmoid", "relu")]


def name_of(case: Any) -> str | None:
    return "-".join(str(v) for v in case.values() if not isinstance(v, dict)) if isinstance(case, dict) else None


def rows(document: dict[str, Any], shape: tuple[int, ...]) -> torch.Tensor:
    """Three rows: token ids where the model embeds its input, and codes where it embeds some of its numbers."""
    if document.get("embeddings"):
        return torch.randint(0, 2, (3, *shape)).float()
    if document.get("vocabulary") or "Embedding" in str(document):
        return torch.randint(0, 11, (3, *shape))
    return torch.randn(3, *shape)


def calls(module: nn.Module) -> list[tuple[str, str, tuple[int, ...]]]:
    """Filled when `module` is called: each leaf's name, class and the shape it gave per row."""
    seen: list[tuple[str, str, tuple[int, ...]]] = []

    def note(path: str, leaf: nn.Module) -> None:
        def hook(module: nn.Module, _: Any, out: Any) -> None:
            out = out[0] if isinstance(out, tuple) else out
            shape = out.shape[1:] if path != "positions" else out.shape  # those are the same for every row
            seen.append((path, type(module).__name__, tuple(shape)))

        leaf.register_forward_hook(hook)

    for path, leaf in module.named_modules():
        if path and not list(leaf.children()):
            note(path, leaf)
    return seen


@pytest.mark.parametrize(("document", "shape", "outputs"), CASES, ids=name_of)
def test_a_layout_and_its_leaves_are_torchs(document: dict[str, Any], shape: tuple[int, ...], outputs: int) -> None:
    model: Any = TypeAdapter(Model).validate_python(document)
    assert list(model.shape_problems(shape, outputs)) == []
    module: nn.Module = build(model, shape, outputs)
    owners = {
        f"{path}.{name}" if path else name: type(owner).__name__ if path else ""
        for path, owner in module.named_modules()
        for name, _ in owner.named_parameters(recurse=False)
    }
    seen = calls(module)
    given = module(rows(document, shape)).shape
    if document.get("outputs_at") == "every":
        assert given == (3, *shape, outputs)
    else:
        assert given == ((3, outputs) if shape else ())
    leaves = [(leaf.name, leaf.module, leaf.out) for leaf in model.leaves(shape, outputs) if leaf.name]
    assert list(dict.fromkeys(leaves)) == seen  # torch has all recurrent layers in one module
    layout = model.layout(shape, outputs)
    theirs = [(name, tuple(p.shape), owners[name]) for name, p in module.named_parameters()]
    assert [(p.name, p.shape, p.module) for p in layout] == theirs
    assert model.parameters(shape, outputs) == sum(p.numel() for p in module.parameters())
    depths = [p.depth for p in layout]
    assert depths == sorted(depths)
    assert set(depths) == set(range(max(depths) + 1))
