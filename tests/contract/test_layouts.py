"""Every model's layout, known without torch, against the model that torch builds: names, shapes, owners, order."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from service.spec.models import Model
from worker.build import build

Case = tuple[dict[str, Any], tuple[int, ...], int]
FLAT: list[tuple[int, ...]] = [(4,), (2, 6), (1, 8, 8)]
MLPS: list[dict[str, Any]] = [
    {"kind": "mlp", "hidden": hidden, "norm": norm, "bias": bias, "dropout": dropout}
    for hidden in ((), (5,), (7, 3, 9))
    for norm in ("none", "batch", "layer", "rms")
    for bias in (True, False)
    for dropout in (0.0, 0.1)
]
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
    *(({"kind": "cnn"} | cnn, shape, 3) for cnn in CNNS for shape in ((1, 8, 8), (3, 9, 7))),
    *(({"kind": "cnn1d"} | cnn, shape, 3) for cnn in CNNS for shape in ((20,), (3, 9))),
]


def name_of(case: Any) -> str | None:
    return "-".join(str(v) for v in case.values()) if isinstance(case, dict) else None


def calls(module: nn.Module) -> list[tuple[str, str, tuple[int, ...]]]:
    """Filled when `module` is called: each leaf's name, class and the shape it gave per row."""
    seen: list[tuple[str, str, tuple[int, ...]]] = []

    def note(path: str, leaf: nn.Module) -> None:
        leaf.register_forward_hook(lambda m, _, out: seen.append((path, type(m).__name__, tuple(out.shape[1:]))))

    for path, leaf in module.named_modules():
        if not list(leaf.children()):
            note(path, leaf)
    return seen


@pytest.mark.parametrize(("document", "shape", "outputs"), CASES, ids=name_of)
def test_a_layout_and_its_leaves_are_torchs(document: dict[str, Any], shape: tuple[int, ...], outputs: int) -> None:
    model: Any = TypeAdapter(Model).validate_python(document)
    assert list(model.shape_problems(shape)) == []
    module: nn.Module = build(model, shape, outputs)
    owners = {
        f"{path}.{name}" if path else name: type(owner).__name__ if path else ""
        for path, owner in module.named_modules()
        for name, _ in owner.named_parameters(recurse=False)
    }
    seen = calls(module)
    assert module(torch.randn(3, *shape)).shape == (3, outputs)
    assert [(leaf.name, leaf.module, leaf.out) for leaf in model.leaves(shape, outputs) if leaf.name] == seen
    layout = model.layout(shape, outputs)
    theirs = [(name, tuple(p.shape), owners[name]) for name, p in module.named_parameters()]
    assert [(p.name, p.shape, p.module) for p in layout] == theirs
    assert model.parameters(shape, outputs) == sum(p.numel() for p in module.parameters())
    depths = [p.depth for p in layout]
    assert depths == sorted(depths)
    assert set(depths) == set(range(max(depths) + 1))
