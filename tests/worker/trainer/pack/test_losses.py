"""The loss of every member against the same loss of each alone: values, gradients, and whole trainings."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from service.spec.experiment import Experiment
from tests.contract.test_catalog import document, members
from tests.worker.conftest import Make
from tests.worker.trainer.pack.test_equality import EXACT, SINGLE, check, of_rates
from worker.trainer.pack.batches import PackedBatch
from worker.trainer.pack.losses import loss_terms, losses_of_members
from worker.trainer.step.evaluation import PerPosition
from worker.trainer.step.losses import GaussianNLL, Hinge, KLDiv, OneHotMSE, SoftMargin, SoftmaxMSE

RUNS, ROWS, CLASSES, LENGTH = 3, 7, 4, 5
DOUBLE = torch.float64
WEIGHT = torch.tensor([0.5, 1.0, 2.0, 4.0], dtype=DOUBLE)
CLASS_LOSSES: dict[str, nn.Module] = {
    "cross entropy": nn.CrossEntropyLoss(),
    "cross entropy, smoothed": nn.CrossEntropyLoss(label_smoothing=0.2),
    "cross entropy, weights": nn.CrossEntropyLoss(WEIGHT),
    "cross entropy, weights, smoothed": nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.2),
    "cross entropy, a class ignored": nn.CrossEntropyLoss(WEIGHT, ignore_index=2),
    "nll": nn.NLLLoss(),
    "nll, weights": nn.NLLLoss(WEIGHT),
    "multi margin": nn.MultiMarginLoss(),
    "multi margin, squared, weights": nn.MultiMarginLoss(p=2, margin=0.5, weight=WEIGHT),
    "softmax mse": SoftmaxMSE(),
    "one-hot mse": OneHotMSE(),
    "kl, smoothed": KLDiv(smoothing=0.1),
}
BINARY_LOSSES: dict[str, nn.Module] = {
    "bce": nn.BCEWithLogitsLoss(),
    "bce, pos_weight": nn.BCEWithLogitsLoss(pos_weight=torch.tensor(3.0, dtype=DOUBLE)),
    "hinge": Hinge(p=2, margin=0.5),
    "soft margin": SoftMargin(),
}
VALUE_LOSSES: dict[str, nn.Module] = {
    "mse": nn.MSELoss(),
    "mae": nn.L1Loss(),
    "huber": nn.HuberLoss(delta=0.5),
    "smooth l1": nn.SmoothL1Loss(beta=0.0),
    "poisson": nn.PoissonNLLLoss(),
    "poisson, full": nn.PoissonNLLLoss(full=True),
}
DISTRIBUTION_LOSSES: dict[str, nn.Module] = {
    "cross entropy": nn.CrossEntropyLoss(),
    "cross entropy, weights, smoothed": nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.2),
    "kl": KLDiv(),
}


def agree(criterion: nn.Module, outputs: Tensor, y: Tensor) -> None:
    """Values and gradients, of rows of each member (R, B, ...) and of the same rows of all."""
    for shared in (False, True):
        found, wanted = outputs.clone().requires_grad_(), outputs.clone().requires_grad_()
        targets = [y[0] if shared else own for own in y]
        losses = losses_of_members(criterion, found, PackedBatch(y, y[0] if shared else y, shared))
        each = torch.stack([criterion(own, theirs) for own, theirs in zip(wanted, targets, strict=True)])
        torch.testing.assert_close(losses, each, rtol=EXACT, atol=EXACT)
        slopes = (torch.autograd.grad(of.sum(), own)[0] for of, own in ((losses, found), (each, wanted)))
        torch.testing.assert_close(*slopes, rtol=EXACT, atol=EXACT)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(len(shape)))


def classes(*shape: int) -> Tensor:
    return torch.randint(CLASSES, shape, generator=torch.Generator().manual_seed(7))


@pytest.fixture(autouse=True)
def double() -> Any:
    torch.set_default_dtype(DOUBLE)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("name", CLASS_LOSSES)
def test_a_loss_of_classes_is_that_of_each_member(name: str) -> None:
    agree(CLASS_LOSSES[name], drawn(RUNS, ROWS, CLASSES), classes(RUNS, ROWS))


@pytest.mark.parametrize("name", BINARY_LOSSES)
def test_a_loss_of_one_logit_is_that_of_each_member(name: str) -> None:
    agree(BINARY_LOSSES[name], drawn(RUNS, ROWS, 1), (classes(RUNS, ROWS, 1) % 2).to(DOUBLE))


@pytest.mark.parametrize("name", VALUE_LOSSES)
def test_a_loss_of_values_is_that_of_each_member(name: str) -> None:
    agree(VALUE_LOSSES[name], drawn(RUNS, ROWS, 2), classes(RUNS, ROWS, 2).to(DOUBLE))


def test_a_loss_of_two_outputs_a_value_is_that_of_each_member() -> None:
    agree(GaussianNLL(full=True), drawn(RUNS, ROWS, 4), drawn(RUNS, ROWS, 2))


@pytest.mark.parametrize("name", DISTRIBUTION_LOSSES)
def test_a_loss_of_distributions_is_that_of_each_member(name: str) -> None:
    agree(DISTRIBUTION_LOSSES[name], drawn(RUNS, ROWS, CLASSES), drawn(RUNS, ROWS, CLASSES).softmax(-1))


@pytest.mark.parametrize("ignored", [-100, 1])
def test_a_loss_of_every_position_is_that_of_each_member(ignored: int) -> None:
    criterion = PerPosition(nn.CrossEntropyLoss(ignore_index=ignored))
    agree(criterion, drawn(RUNS, ROWS, LENGTH, CLASSES), classes(RUNS, ROWS, LENGTH))


def test_members_with_weights_and_ones_own_smoothing_are_stacked() -> None:
    outputs, y = drawn(RUNS, ROWS, CLASSES), classes(RUNS, ROWS)
    criteria = [nn.CrossEntropyLoss(WEIGHT, label_smoothing=each) for each in (0.0, 0.1, 0.4)]
    batch = PackedBatch(y, y, shared=False)
    found = sum(losses_of_members(each, outputs, batch) * share for each, share in loss_terms(criteria))
    each = torch.stack([criterion(*own) for criterion, *own in zip(criteria, outputs, y, strict=True)])
    torch.testing.assert_close(found, each, rtol=1e-6, atol=1e-6)


MORE: list[dict[str, Any]] = [
    {"loss": {"kind": "cross_entropy", "weight": "balanced", "label_smoothing": 0.1}},
    {"loss": {"kind": "cross_entropy", "weight": (1.0, 2.0, 0.5)}},
    {"loss": {"kind": "multi_margin", "weight": "balanced", "p": 2}},
    {"loss": {"kind": "bce_with_logits", "pos_weight": "balanced"}, "dataset": {"kind": "breast_cancer"}},
    {"loss": {"kind": "poisson_nll", "full": True}, "dataset": {"kind": "diabetes", "target_scaling": "none"}}
    | {"optimizer": {"kind": "adam"}},
]


@pytest.mark.parametrize("changes", MORE, ids=lambda changes: str(changes["loss"]))
@pytest.mark.parametrize(("precision", "most"), [("fp64", EXACT), ("fp32", SINGLE)])
def test_a_packed_loss_with_numbers_is_the_loss_alone(
    experiment: Make, changes: dict[str, Any], precision: str, most: float
) -> None:
    torch.set_default_dtype(torch.float32)
    check(of_rates(experiment, precision=precision, **changes), most)


@pytest.mark.parametrize("member", members("loss"), ids=lambda member: member.__name__)
def test_every_loss_of_the_catalogue_is_packed(member: Any) -> None:
    torch.set_default_dtype(torch.float32)
    spec = document("loss", member) | {"precision": "fp64", "steps": 40, "probes": ()}
    rates = [{"optimizer": {"kind": "adam", "lr": rate}} for rate in (0.001, 0.002, 0.003)]
    check([Experiment.model_validate(spec | rate) for rate in rates], EXACT)
