"""The transformer's choices against plain torch functions written from their papers."""

import math
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn import functional

from service.spec.models import Model
from service.spec.models.transformer import Transformer
from worker.trainer.build import build

LANGUAGE: dict[str, Any] = {"kind": "transformer", "vocabulary": 11, "outputs_at": "every", "causal": True}
SMALL = LANGUAGE | {"width": 24, "heads": 4, "layers": 2}
CHANGES: list[dict[str, Any]] = [
    {"norm": "rms"},
    {"positions": "rotary"},
    {"positions": "rotary", "rotary_base": 500.0},
    {"positions": "sinusoidal"},
    {"feedforward": "swiglu"},
    {"feedforward": "swiglu", "hidden": 20, "bias": False},
    {"kv_heads": 2},
    {"kv_heads": 1, "tied": True},
    {"bias": False},
    {"norm": "rms", "positions": "rotary", "feedforward": "swiglu", "kv_heads": 2, "bias": False, "tied": True},
]


def made(document: dict[str, Any]) -> tuple[Any, nn.Module]:
    model: Any = TypeAdapter(Model).validate_python(document)
    torch.manual_seed(0)
    module: nn.Module = build(model, (7,), 11)
    with torch.no_grad():
        for parameter in module.parameters():  # biases and scales that matter
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model, module.double().eval()


def turned(x: Tensor, base: float) -> Tensor:
    """Rotary positions as products of complex numbers: x (B, L, H, D), pairs D / 2 apart."""
    _, length, _, size = x.shape
    pairs = torch.complex(x[..., : size // 2], x[..., size // 2 :])
    frequency = torch.tensor([base ** (-2 * i / size) for i in range(size // 2)], dtype=torch.float64)
    angle = torch.arange(length, dtype=torch.float64)[:, None] * frequency
    found = pairs * torch.polar(torch.ones_like(angle), angle)[None, :, None, :]
    return torch.cat((found.real, found.imag), -1)


def reference(model: Any, weights: dict[str, Tensor], tokens: Tensor) -> Tensor:
    """Return the logits by plain functions of the weights, head by head."""
    size, kv_heads = model.width // model.heads, model.kv_heads or model.heads

    def linear(x: Tensor, name: str) -> Tensor:
        return functional.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def norm(x: Tensor, name: str) -> Tensor:
        scale, shift = weights[f"{name}.weight"], weights.get(f"{name}.bias")
        if model.norm == "rms":
            return functional.rms_norm(x, (model.width,), scale)
        return functional.layer_norm(x, (model.width,), scale, shift)

    def attention(x: Tensor, name: str) -> Tensor:
        rows, length, _ = x.shape
        q, k, v = linear(x, f"{name}.qkv").split((model.width, kv_heads * size, kv_heads * size), -1)
        q, k, v = (each.view(rows, length, -1, size) for each in (q, k, v))
        if model.positions == "rotary":
            q, k = turned(q, model.rotary_base), turned(k, model.rotary_base)
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        heads = []
        for head in range(model.heads):
            shared = head * kv_heads // model.heads
            scores = (q[:, :, head] @ k[:, :, shared].transpose(1, 2) / math.sqrt(size)).masked_fill(later, -math.inf)
            heads.append(scores.softmax(-1) @ v[:, :, shared])
        return linear(torch.cat(heads, -1), f"{name}.out")

    x = weights["embed.weight"][tokens]
    if model.positions == "learned":
        x = x + weights["positions.weight"]
    elif model.positions == "sinusoidal":
        x = x + torch.tensor(
            [
                [
                    (math.cos if i % 2 else math.sin)(t / 10_000 ** ((i - i % 2) / model.width))
                    for i in range(model.width)
                ]
                for t in range(tokens.shape[1])
            ]
        )
    for at in range(model.layers):
        block = f"blocks.{at}"
        x = x + attention(norm(x, f"{block}.norm1"), f"{block}.attention")
        y = norm(x, f"{block}.norm2")
        if model.feedforward == "swiglu":
            gated = functional.silu(linear(y, f"{block}.mlp.gate")) * linear(y, f"{block}.mlp.up")
            x = x + linear(gated, f"{block}.mlp.out")
        else:
            x = x + linear(functional.gelu(linear(y, f"{block}.mlp.0")), f"{block}.mlp.2")
    return linear(norm(x, "norm"), "head")


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_logits_are_those_of_plain_functions(changes: dict[str, Any]) -> None:
    model, module = made(SMALL | changes)
    tokens = torch.randint(0, 11, (3, 7))
    expected = reference(model, dict(module.state_dict()), tokens)
    torch.testing.assert_close(module(tokens), expected.to(torch.float64), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_layout_is_the_modules_own(changes: dict[str, Any]) -> None:
    model, module = made(SMALL | changes)
    layout = model.layout((7,), 11)
    assert [(p.name, p.shape) for p in layout] == [(name, tuple(p.shape)) for name, p in module.named_parameters()]


def test_problems_name_heads_that_cannot_be_shared_or_turned() -> None:
    found = list(Transformer(heads=4, kv_heads=3).problems())
    assert [(p.pointer, p.code) for p in found] == [("/kv_heads", "contradiction")]
    found = list(Transformer(width=12, heads=4, positions="rotary").problems())
    assert [(p.pointer, p.code) for p in found] == [("/heads", "contradiction")]
