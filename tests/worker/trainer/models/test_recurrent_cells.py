"""Stacks of recurrent layers with dropout: torch's own numbers on a CPU, and nothing outside the generators."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.worker.trainer.checkpoints.resume_matrix import Case, difference
from worker.trainer.loop import prepare
from worker.trainer.models import recurrent_cells

KINDS = ("RNN", "GRU", "LSTM")
STACK: dict[str, Any] = {"batch_first": True, "dropout": 0.4}


def stack(kind: str, owner: Any = recurrent_cells, **changes: Any) -> nn.RNNBase:
    torch.manual_seed(0)
    made: nn.RNNBase = getattr(owner, kind)(5, 8, 3, **STACK | changes)
    return made


def everything(cell: nn.RNNBase, x: Tensor) -> list[Tensor]:
    """Outputs, states, gradients, and where the generator stands afterwards."""
    torch.manual_seed(1)
    outputs, states = cell(x)
    outputs.square().sum().backward()
    gradients = [p.grad for p in cell.parameters() if p.grad is not None]
    return [outputs, *(states if isinstance(states, tuple) else (states,)), *gradients, torch.get_rng_state()]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_cpu_a_stack_equals_torchs_to_the_last_bit(kind: str, bidirectional: bool, training: bool) -> None:
    own, torchs = (stack(kind, owner, bidirectional=bidirectional).train(training) for owner in (recurrent_cells, nn))
    x = torch.randn(6, 7, 5)
    for ours, theirs in zip(everything(own, x), everything(torchs, x), strict=True):
        assert torch.equal(ours, theirs)
    assert list(own.state_dict()) == list(torchs.state_dict())
    assert type(own).__name__ == type(torchs).__name__


def test_an_elman_stack_takes_relu_too() -> None:
    own, torchs = (stack("RNN", owner, nonlinearity="relu") for owner in (recurrent_cells, nn))
    x = torch.randn(6, 7, 5)
    assert all(torch.equal(a, b) for a, b in zip(everything(own, x), everything(torchs, x), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_a_function_of_the_generator_and_never_asked_of_cudnn(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, float]] = []
    function = recurrent_cells.FUNCTIONS[stack(kind).mode]
    original = getattr(torch._VF, function)

    def watched(*arguments: Any) -> Any:
        asked.append((arguments[4], arguments[5]))  # layers, dropout
        return original(*arguments)

    monkeypatch.setattr(torch._VF, function, watched)
    cell, x = stack(kind), torch.randn(6, 7, 5)
    torch.manual_seed(1)
    state, first = torch.get_rng_state(), cell(x)[0]
    other = cell(x)[0]
    torch.set_rng_state(state)
    assert torch.equal(cell(x)[0], first)
    assert not torch.equal(other, first)
    assert set(asked) == {(1, 0.0)}


def test_each_layer_is_flattened_into_a_buffer_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    cell, seen = stack("LSTM", bidirectional=True), []

    def flatten(layer: nn.RNNBase) -> None:
        seen.append((layer._flat_weights_names[0], len(layer._flat_weights), layer.input_size, layer.num_layers))

    monkeypatch.setattr(nn.RNNBase, "flatten_parameters", flatten)
    before = cell._flat_weights, cell._flat_weights_names, cell.input_size, cell.num_layers
    cell.flatten_parameters()
    assert seen == [("weight_ih_l0", 8, 5, 1), ("weight_ih_l1", 8, 16, 1), ("weight_ih_l2", 8, 16, 1)]
    assert (cell._flat_weights, cell._flat_weights_names, cell.input_size, cell.num_layers) == before


def test_a_model_takes_them_only_for_dropout_between_layers(experiment: Any) -> None:
    def cell(**fields: Any) -> Any:
        return type(prepare(experiment(model={"kind": "lstm", **fields}), 0, torch.device("cpu")).model.cell)

    assert cell(layers=2, dropout=0.3) is recurrent_cells.LSTM
    assert cell(layers=2) is cell(layers=1) is nn.LSTM  # cuDNN's own stack is faster


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_a_run_of_two_layers_with_dropout_resumes_in_the_middle(kind: str, experiment: Any, tmp_path: Path) -> None:
    model = {"kind": kind, "hidden": 8, "layers": 2, "dropout": 0.4, "bidirectional": kind == "gru"}
    spec = experiment(model=model, optimizer={"kind": "adamw"}, steps=24, evaluate={"every_steps": 5})
    assert difference(Case(spec, (7, 13), {}), tmp_path / "files", tmp_path) is None
