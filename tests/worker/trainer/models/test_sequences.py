"""Models of sequences: what a position sees, what is tied, what is read where."""

from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import nn

from service.spec.models import Model
from worker.trainer.build import build
from worker.trainer.models.attention import twice_differentiable

LANGUAGE: dict[str, Any] = {"vocabulary": 11, "outputs_at": "every"}
SMALL: dict[str, Any] = {"kind": "transformer", "width": 8, "heads": 2, "layers": 2}


def made(document: dict[str, Any], shape: tuple[int, ...], outputs: int) -> nn.Module:
    model: Any = TypeAdapter(Model).validate_python(document)
    torch.manual_seed(0)
    module: nn.Module = build(model, shape, outputs)
    return module.eval()


@pytest.mark.parametrize("model", [SMALL | {"causal": True}, {"kind": "rnn"}, {"kind": "gru"}, {"kind": "lstm"}])
def test_a_language_model_sees_nothing_of_later_tokens(model: dict[str, Any]) -> None:
    module = made(model | LANGUAGE, (7,), 11)
    tokens = torch.randint(0, 11, (2, 7))
    before = module(tokens)
    for position in range(7):
        changed = tokens.clone()
        changed[:, position] = (changed[:, position] + 1) % 11
        differs = (module(changed) != before).any(2).any(0)
        assert not differs[:position].any()
        assert differs[position]


def test_without_causal_every_position_sees_all() -> None:
    module = made(SMALL | LANGUAGE, (7,), 11)
    tokens = torch.randint(0, 11, (2, 7))
    changed = tokens.clone()
    changed[:, 6] = (changed[:, 6] + 1) % 11
    assert (module(changed) != module(tokens)).any(2).any(0).all()


def test_attention_is_the_papers_equation_and_math_kernels_agree() -> None:
    module: Any = made(SMALL | {"causal": True, "layers": 1}, (5,), 3)
    attention = module.blocks[0].attention
    x = torch.randn(2, 5, 8)
    q, k, v = (part.view(2, 5, 2, 4).transpose(1, 2) for part in attention.qkv(x).split(8, 2))
    scores = q @ k.transpose(2, 3) / 4**0.5
    scores = scores.masked_fill(torch.ones(5, 5).triu(1).bool(), -torch.inf)
    expected = attention.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(2, 5, 8))
    assert torch.allclose(attention(x), expected, atol=1e-6)
    with twice_differentiable(module):
        assert torch.allclose(attention(x), expected, atol=1e-6)


def test_a_tied_output_is_the_embedding_and_trains_as_one() -> None:
    module: Any = made(SMALL | LANGUAGE | {"causal": True, "tied": True}, (7,), 11)
    assert module.head.weight is module.embed.weight
    assert module.head.bias is None
    assert sum(1 for name, _ in module.named_parameters() if "head" in name) == 0
    module(torch.randint(0, 5, (2, 7))).sum().backward()
    assert module.embed.weight.grad[5:].abs().sum() > 0  # rows never looked up get their gradient from the output


def test_positions_tell_the_same_token_apart() -> None:
    module = made(SMALL | LANGUAGE | {"causal": True}, (7,), 11)
    out = module(torch.zeros(1, 7))
    assert not torch.equal(out[0, 0], out[0, 1])


@pytest.mark.parametrize(("kind", "torchs"), [("rnn", nn.RNN), ("gru", nn.GRU), ("lstm", nn.LSTM)])
def test_a_recurrent_model_is_torchs_cell_and_its_last_state(kind: str, torchs: Any) -> None:
    module: Any = made({"kind": kind, "hidden": 5, "layers": 2}, (3, 6), 4)
    assert type(module.cell) is torchs
    x = torch.randn(2, 3, 6)
    states, _ = module.cell(x.transpose(1, 2))
    assert torch.equal(module(x), module.head(states[:, -1]))


def test_both_directions_give_the_state_after_all_of_the_row() -> None:
    module: Any = made({"kind": "gru", "hidden": 5, "bidirectional": True}, (6,), 4)
    x = torch.randn(2, 6)
    states, _ = module.cell(x.unsqueeze(2))
    ends = torch.cat((states[:, -1, :5], states[:, 0, 5:]), 1)
    assert torch.equal(module(x), module.head(ends))


def test_an_images_rows_are_the_steps() -> None:
    module: Any = made({"kind": "rnn", "hidden": 5}, (2, 3, 4), 4)
    x = torch.arange(24.0).view(1, 2, 3, 4)
    states, _ = module.cell(x.permute(0, 2, 1, 3).reshape(1, 3, 8))
    assert torch.equal(module(x), module.head(states[:, -1]))


def test_mean_and_last_read_what_they_say() -> None:
    for where, read in (("mean", lambda s: s.mean(1)), ("last", lambda s: s[:, -1])):
        module: Any = made({"kind": "transformer", "width": 8, "heads": 2, "outputs_at": where}, (5,), 3)
        x = torch.randn(2, 5)
        states = module.embed(x.unsqueeze(2)) + module.positions.weight
        assert torch.allclose(module(x), module.head(read(module.norm(module.blocks(states)))))
