"""The first value that is no number, put into a training at each place where one can appear."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from worker.trainer.loop import train
from worker.trainer.probes.on_demand.autopsy import Autopsy, autopsy, has_grown


def test_a_row_that_holds_no_number_is_named(trained: Any) -> None:
    training = trained(3)
    training.batches.x[17, 2] = float("nan")
    found = autopsy(training, train(training))
    assert found is not None
    assert (found.value.kind, found.value.tensor) == ("input", "x")
    assert found.rows == (17,)
    assert 17 in found.batch
    assert found.preceded_by_growth is False
    assert training.batches.row_numbers(found.step).tolist() == list(found.batch)


class Breaks(nn.Module):
    """The logarithm of what may be 0 or less."""

    def forward(self, x: Tensor) -> Tensor:
        return (x - x.max()).log()


def test_a_module_whose_output_is_none_is_named_with_the_rows(trained: Any) -> None:
    training = trained(3)
    training.model.layers[1] = Breaks()
    found = autopsy(training, train(training))
    assert found is not None
    assert (found.value.kind, found.value.module, found.value.module_class) == ("output", "layers.1", "Breaks")
    assert found.step == 4
    assert len(found.rows) == 16


class Root(nn.Module):
    """Finite, with an infinite slope where a unit is off."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * (x > 0)).sqrt()


def test_a_gradient_is_named_where_the_loss_is_still_finite(trained: Any) -> None:
    training = trained(3)
    training.model.layers[1] = Root()
    found = autopsy(training, train(training))
    assert found is not None
    assert (found.value.kind, found.value.module) == ("gradient", "layers.0")
    assert found.step == 4


def test_a_rate_far_too_high_is_seen_to_grow_before_it_overflows(trained: Any) -> None:
    training = trained(0, model={"kind": "linear"}, loss={"kind": "mse"}, dataset={"kind": "diabetes"}, steps=400)
    found = autopsy(training, train(training))
    assert found is None  # 0.1 is not too high
    wild = {"kind": "sgd", "lr": 3.0}
    training = trained(
        0, model={"kind": "linear"}, loss={"kind": "mse"}, dataset={"kind": "diabetes"}, optimizer=wild, steps=400
    )
    found = autopsy(training, train(training))
    assert found is not None
    assert found.preceded_by_growth is True
    assert len(found.losses) > 3


def test_a_state_that_overflows_is_named_before_the_weight(trained: Any) -> None:
    """Squares of gradients of 1e20 are infinite in fp32; the update is then 0, and the weights stay finite."""
    parts: dict[str, Any] = {"dataset": {"kind": "none"}, "loss": {"kind": "objective"}, "batch_size": 1}
    model = {"kind": "quadratic", "start": (1.0,), "eigenvalues": (1.0,)}
    training = trained(0, model=model, optimizer={"kind": "rmsprop", "lr": 0.01}, **parts)
    training.model.eigenvalues.fill_(1e20)
    found = autopsy(training, train(training))
    assert found is not None
    assert (found.value.kind, found.value.tensor) == ("optimizer_state", "x: square_avg")
    assert found.value.nan is False


def test_a_weight_that_is_none_already_is_named_at_once(trained: Any) -> None:
    training = trained(3)
    with torch.no_grad():
        training.model.layers[2].bias[1] = float("inf")
    found = autopsy(training, train(training))
    assert found is not None
    assert (found.value.kind, found.value.module, found.value.tensor) == ("weight", "layers.2", "bias")


def test_watching_changes_no_bit_and_leaves_no_hook(trained: Any) -> None:
    plain, watched = trained(0), trained(0)
    losses = [float(step.loss) for step in train(plain)]
    seen: list[float] = []

    def steps() -> Any:
        for step in train(watched):
            seen.append(float(step.loss))
            yield step

    assert autopsy(watched, steps()) is None
    assert seen == losses
    assert not any(module._forward_hooks for module in watched.model.modules())


def test_on_a_copy_it_finds_the_same_and_the_training_stays(trained: Any, component: Any) -> None:
    training = trained(3, model={"kind": "mlp", "hidden": (8,), "dropout": 0.2})
    training.batches.x[17, 2] = float("nan")
    state = torch.get_rng_state()
    look = Autopsy(component(steps=100)).measure(training)
    assert look.data is not None
    assert (look.data["kind"], look.data["rows"], look.data["retrained_from"]) == ("input", [17], 3)
    assert training.step == 3
    assert torch.equal(torch.get_rng_state(), state)
    healthy = Autopsy(component(steps=100)).measure(trained(3)).data
    assert healthy is not None
    assert healthy["kind"] is None


@pytest.mark.parametrize(
    ("sizes", "grown"), [([1.0] * 20, False), ([1.0] * 20 + [50.0], True), ([3.0, 2.0], False), ([1.0, 20.0], True)]
)
def test_growth_is_the_last_sizes_over_the_usual(sizes: list[float], grown: bool) -> None:
    assert has_grown(sizes) is grown
