"""The twin against dense derivatives and finite differences, and what it must not touch."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.autograd.functional import hessian
from torch.func import functional_call

from worker.trainer.loop import train
from worker.trainer.probes import model_copy as twins
from worker.trainer.probes.model_copy import ModelCopy, flat, norm
from worker.trainer.probes.scratch_training import next_update, scratch_copy, train_step

DIGITS = {"kind": "digits", "validation": 0.0}


def dense(copy: ModelCopy) -> Tensor:
    """The Hessian by torch's own function of a vector."""

    def loss(theta: Tensor) -> Tensor:
        at = dict(zip(copy.names, copy.split(theta), strict=True))
        found: Tensor = copy.criterion(functional_call(copy.model, at, (copy.x,)), copy.y)
        return found

    found: Tensor = hessian(loss, copy.theta())
    return found


@pytest.mark.parametrize("at", [0, 30])
def test_gradient_and_hessian_are_those_of_a_dense_computation(trained: Any, at: int) -> None:
    copy = ModelCopy(trained(at))
    assert copy.dtype == torch.float64
    assert len(copy.x) == len(copy.training.batches.x)
    matrix = dense(copy)
    assert torch.allclose(copy.hessian(), matrix, atol=1e-12)
    v = torch.randn(copy.n, dtype=torch.float64)
    assert torch.allclose(copy.product(v), matrix @ v, atol=1e-12)
    h = 1e-6
    ahead, behind = copy.along(v, (h, -h))
    assert (ahead - behind) / (2 * h) == pytest.approx(float(copy.gradient() @ v), rel=1e-6)


def test_pieces_add_up_to_the_whole(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {"kind": "cross_entropy", "weight": (1.0, 2.0, 5.0)}
    training = trained(5, loss=weights)
    whole = ModelCopy(training)
    v = torch.randn(whole.n, dtype=torch.float64)
    expected = whole.value(), whole.gradient(), whole.product(v)
    monkeypatch.setattr(twins, "PIECE", 70)
    parts = ModelCopy(training)
    assert len(list(parts.pieces())) > 3
    assert parts.value() == pytest.approx(expected[0], rel=1e-12)
    assert torch.allclose(parts.gradient(), expected[1], atol=1e-14)
    assert torch.allclose(parts.product(v), expected[2], atol=1e-13)


MODELS: list[dict[str, Any]] = [
    {"kind": "transformer", "width": 8, "heads": 2, "layers": 1, "dropout": 0.3},
    {"kind": "lstm", "hidden": 4, "dropout": 0.2, "layers": 2},
    {"kind": "cnn", "channels": (3,), "norm": "batch"},
    {"kind": "mlp", "hidden": (6,), "norm": "batch", "dropout": 0.5},
]


@pytest.mark.parametrize("norms", ["train", "eval"])
@pytest.mark.parametrize("model", MODELS, ids=lambda model: str(model["kind"]))
def test_models_with_fused_kernels_and_normalisation_have_products(
    trained: Any, model: dict[str, Any], norms: Any
) -> None:
    training = trained(3, model=model, dataset=DIGITS, batch_size=32)
    copy = ModelCopy(training, rows=64, norms=norms)
    v = torch.randn(copy.n, dtype=copy.dtype)
    found = copy.product(v)
    assert not copy.differences
    assert torch.allclose(found, copy._difference(v), rtol=1e-5, atol=1e-6 * norm(found))


class Once(torch.autograd.Function):
    """A tanh whose author wrote no second derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x.tanh())
        return x.tanh()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:
        (y,) = ctx.saved_tensors
        return g * (1 - y**2)


class OnceTanh(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = Once.apply(x)
        return found


def test_a_model_without_a_second_derivative_gets_differences_of_gradients_and_says_so(trained: Any) -> None:
    training = trained(10, model={"kind": "mlp", "hidden": (8,), "activation": "tanh"})
    plain, copy = ModelCopy(training), ModelCopy(training)
    copy.model.layers[1] = OnceTanh()
    v = torch.randn(copy.n, dtype=torch.float64)
    assert torch.allclose(copy.product(v), plain.product(v), atol=1e-8)
    assert copy.differences
    assert "no second backward" in copy.describe()["notes"][0]


def test_weight_decay_that_enters_the_gradient_is_part_of_the_loss(trained: Any) -> None:
    sgd = {"kind": "sgd", "lr": 0.1, "weight_decay": 0.3}
    training = trained(5, optimizer=sgd)
    plain, copy = ModelCopy(training), ModelCopy(training, penalty=True)
    here = plain.theta()
    assert copy.value() == pytest.approx(plain.value() + 0.15 * float(here @ here), rel=1e-12)
    assert torch.allclose(copy.gradient(), plain.gradient() + 0.3 * here)
    assert torch.allclose(copy.product(here), plain.product(here) + 0.3 * here)
    decoupled = trained(5, optimizer={"kind": "adamw", "weight_decay": 0.3})
    assert ModelCopy(decoupled, penalty=True).describe()["weight_decay"] is False


def test_frozen_parameters_are_no_direction(trained: Any) -> None:
    groups = ({"match": {"name": "layers.0.*"}, "freeze": True},)
    training = trained(2, groups=groups)
    copy = ModelCopy(training)
    assert copy.names == ["layers.2.weight", "layers.2.bias"]
    assert len(next_update(training, copy)[0]) == copy.n


def test_the_first_weights_are_those_of_spec_and_seed(trained: Any) -> None:
    later, start = ModelCopy(trained(20, seed=7)), ModelCopy(trained(0, seed=7))
    assert torch.equal(later.initial(), start.theta())
    assert not torch.equal(later.theta(), start.theta())


@pytest.mark.parametrize(
    "optimizer", [{"kind": "sgd", "momentum": 0.9}, {"kind": "adam"}, {"kind": "lbfgs"}, {"kind": "schedule_free_sgd"}]
)
def test_a_copy_goes_on_exactly_as_the_training_would(trained: Any, optimizer: dict[str, Any]) -> None:
    changes: dict[str, Any] = {"optimizer": optimizer, "model": {"kind": "mlp", "hidden": (8,), "dropout": 0.3}}
    training = trained(10, **changes)
    copy = scratch_copy(training)
    state = torch.get_rng_state()
    losses = [float(train_step(copy, step)) for step in range(11, 21)]
    torch.set_rng_state(state)
    rest = [float(step.loss) for step in train(training)]
    assert losses == rest[:10]


def test_looking_moves_no_generator_and_no_weight(trained: Any) -> None:
    training = trained(10, model={"kind": "mlp", "hidden": (8,), "dropout": 0.3})
    state, weights = torch.get_rng_state(), flat([p.detach().clone() for p in training.model.parameters()])
    copy = ModelCopy(training)
    copy.product(copy.gradient())
    next_update(training, copy)
    copy.initial()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(flat(list(training.model.parameters())), weights)
    assert training.model.training
