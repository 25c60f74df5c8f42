"""Layers whose members are groups of channels against the same layers of each member alone, with their gradients."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from worker.trainer.pack.convolution import fold_members

RUNS, ROWS, CHANNELS = 3, 4, 4
LAYERS: list[nn.Module] = [
    nn.Conv1d(4, 6, 3, padding=1),
    nn.Conv1d(4, 6, 4, padding=2, stride=2, bias=False),
    nn.Conv1d(4, 6, 3, padding=2, dilation=2, groups=2),
    nn.Conv1d(4, 4, 3, padding="same"),
    nn.Conv1d(4, 4, 3, padding=1, padding_mode="reflect"),
    nn.MaxPool1d(2),
    nn.MaxPool1d(3),
    nn.MaxPool1d(1),
    nn.MaxPool1d(3, stride=2, padding=1),
    nn.MaxPool1d(2, dilation=2),
    nn.MaxPool1d(2, ceil_mode=True),
    nn.AvgPool1d(2),
    nn.AvgPool1d(3, padding=1, count_include_pad=False),
    nn.GroupNorm(2, 4),
    nn.GroupNorm(1, 4, affine=False),
    nn.Conv2d(4, 6, 3, padding=1),
    nn.Conv2d(4, 6, (3, 2), stride=(1, 2), padding=(1, 0), bias=False),
    nn.Conv2d(4, 4, 1, groups=4),
    nn.MaxPool2d(2),
    nn.MaxPool2d((3, 2)),
    nn.MaxPool2d(3, stride=2, padding=1),
    nn.AvgPool2d(2),
    nn.GroupNorm(4, 4),
]


def drawn(layer: nn.Module) -> Tensor:
    """Rows (R, B, C, ...) in which many values are equal, so that poolings have to choose."""
    size = (7,) if "1d" in type(layer).__name__ else (7, 9)
    rows = torch.randint(-2, 3, (RUNS, ROWS, CHANNELS, *size), generator=torch.Generator().manual_seed(0))
    return rows.double()


def gradients(losses: Any, *of: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(losses, of))


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("shared", [False, True], ids=["own rows", "shared rows"])
def test_a_folded_layer_is_that_of_each_member(layer: nn.Module, shared: bool) -> None:
    members = [copy.deepcopy(layer).double() for _ in range(RUNS)]
    for seed, each in enumerate(members):
        for p in each.parameters():
            nn.init.normal_(p, generator=torch.Generator().manual_seed(seed))
    weights = {
        name: torch.stack([dict(each.named_parameters())[name].detach() for each in members]).requires_grad_()
        for name, _ in layer.named_parameters()
    }
    x = drawn(layer)
    x = (x[0] if shared else x).requires_grad_(bool(weights) or not shared)
    skeleton = copy.deepcopy(layer)
    fold_members(skeleton)

    def forward(own: dict[str, Tensor], rows: Tensor, _: Tensor) -> Tensor:
        output: Tensor = functional_call(skeleton, own, (rows,))
        return output

    found = vmap(forward, in_dims=(0, None if shared else 0, 0))(weights, x, torch.arange(RUNS))
    wanted = torch.stack([each(x if shared else x[at]) for at, each in enumerate(members)])
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    if not weights and shared:
        return  # rows that are read need no gradient
    weighing = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ours = gradients((found * weighing).sum(), x, *weights.values())
    theirs = gradients((wanted * weighing).sum(), x, *(p for each in members for p in each.parameters()))
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-12, atol=1e-12)
    for at, of_all in enumerate(ours[1:]):
        own = torch.stack(theirs[1 + at :: len(weights)])
        torch.testing.assert_close(of_all, own, rtol=1e-11, atol=1e-11)


def test_other_layers_stay_as_they_are() -> None:
    layer = nn.Linear(2, 3)
    fold_members(layer)
    assert "forward" not in vars(layer)
