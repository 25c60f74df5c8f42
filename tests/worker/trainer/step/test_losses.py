"""Losses against torch's functions or formulas written out, and means over parts against the mean over all rows."""

import math
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from torch import Tensor, nn
from torch.nn import functional as F

from service.errors import RunFailure
from service.spec.losses import LEFT_OUT, Loss
from worker.trainer.build import build
from worker.trainer.loop import prepare, train
from worker.trainer.step.evaluation import PerPosition
from worker.trainer.step.gradients import split_batch
from worker.trainer.step.losses import GaussianNLL, loss_denominator

CPU = torch.device("cpu")
WEIGHT = (0.5, 2.0, 1.0)


def made(**document: Any) -> nn.Module:
    module: nn.Module = build(TypeAdapter(Loss).validate_python(document))
    return module


def rows(binary: bool = False, columns: int = 1) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    if binary:
        return 3 * torch.randn(20, 1), torch.randint(0, 2, (20, 1)).float()
    return 3 * torch.randn(20, columns), torch.randint(0, 3, (20,))


CLASSES: list[tuple[dict[str, Any], Any]] = [
    ({"kind": "cross_entropy"}, F.cross_entropy),
    (
        {"kind": "cross_entropy", "weight": WEIGHT, "label_smoothing": 0.1},
        lambda z, y: F.cross_entropy(z, y, weight=torch.tensor(WEIGHT), label_smoothing=0.1),
    ),
    ({"kind": "nll", "weight": WEIGHT}, lambda z, y: F.nll_loss(z, y, weight=torch.tensor(WEIGHT))),
    ({"kind": "multi_margin", "p": 2, "margin": 0.5}, lambda z, y: F.multi_margin_loss(z, y, p=2, margin=0.5)),
    ({"kind": "one_hot_mse"}, lambda z, y: F.mse_loss(z, F.one_hot(y, 3).float())),
    ({"kind": "softmax_mse"}, lambda z, y: 3 * F.mse_loss(z.softmax(1), F.one_hot(y, 3).float())),
]
BINARY: list[tuple[dict[str, Any], Any]] = [
    (
        {"kind": "bce_with_logits", "pos_weight": 3.0},
        lambda z, y: F.binary_cross_entropy_with_logits(z, y, pos_weight=torch.tensor(3.0)),
    ),
    ({"kind": "hinge"}, lambda z, y: F.hinge_embedding_loss((2 * y - 1) * z, -torch.ones_like(y), margin=1.0)),
    ({"kind": "hinge", "p": 2, "margin": 0.5}, lambda z, y: torch.relu(0.5 - (2 * y - 1) * z).square().mean()),
    ({"kind": "soft_margin"}, lambda z, y: F.soft_margin_loss(z, 2 * y - 1)),
    ({"kind": "soft_margin"}, F.binary_cross_entropy_with_logits),
]
VALUES: list[tuple[dict[str, Any], Any]] = [
    ({"kind": "smooth_l1", "beta": 0.5}, lambda z, y: F.smooth_l1_loss(z, y, beta=0.5)),
    ({"kind": "smooth_l1", "beta": 0.0}, F.l1_loss),
    ({"kind": "huber", "delta": 2.0}, lambda z, y: F.huber_loss(z, y, delta=2.0)),
    ({"kind": "poisson_nll"}, lambda z, y: (z.exp() - y * z).mean()),
    ({"kind": "poisson_nll", "full": True}, lambda z, y: F.poisson_nll_loss(z, y, full=True)),
]


@pytest.mark.parametrize(("document", "theirs"), CLASSES, ids=lambda each: getattr(each, "__name__", str(each)))
def test_a_loss_for_classes_is_the_formula(document: dict[str, Any], theirs: Any) -> None:
    z, y = rows(columns=3)
    assert made(**document)(z, y).item() == pytest.approx(theirs(z, y).item(), rel=1e-6)


@pytest.mark.parametrize(("document", "theirs"), BINARY, ids=lambda each: getattr(each, "__name__", str(each)))
def test_a_loss_for_two_classes_is_the_formula(document: dict[str, Any], theirs: Any) -> None:
    z, y = rows(binary=True)
    assert made(**document)(z, y).item() == pytest.approx(theirs(z, y).item(), rel=1e-6)


@pytest.mark.parametrize(("document", "theirs"), VALUES, ids=lambda each: getattr(each, "__name__", str(each)))
def test_a_loss_for_values_is_the_formula(document: dict[str, Any], theirs: Any) -> None:
    z, y = rows(columns=1)[0] / 3, torch.arange(20.0).unsqueeze(1) / 4
    assert made(**document)(z, y).item() == pytest.approx(theirs(z, y).item(), rel=1e-6)


@pytest.mark.parametrize("full", [False, True])
def test_gaussian_nll_is_a_normal_distributions(full: bool) -> None:
    outputs, y = rows(columns=2)[0] / 3, torch.linspace(-2, 2, 20).unsqueeze(1)
    normal = torch.distributions.Normal(outputs[:, :1], (outputs[:, 1:] / 2).exp())
    expected = -normal.log_prob(y).mean().item() - (0 if full else 0.5 * math.log(2 * math.pi))
    assert made(kind="gaussian_nll", full=full)(outputs, y).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("full", [False, True])
def test_gaussian_nll_and_its_gradient_are_torchs_where_a_variance_is_too_small_too(full: bool) -> None:
    outputs, y = rows(columns=2)[0], torch.linspace(-2, 2, 20).unsqueeze(1)
    outputs[:3, 1] = -20.0
    ours, theirs = outputs.clone().requires_grad_(), outputs.clone().requires_grad_()
    made(kind="gaussian_nll", full=full, eps=1e-3)(ours, y).backward()
    variance = theirs[:, 1:].exp()
    torch.nn.functional.gaussian_nll_loss(theirs[:, :1], y, variance, full=full, eps=1e-3).backward()
    assert (variance < 1e-3).sum() >= 3
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_where_softmax_is_flat_its_squared_error_teaches_nothing_and_cross_entropy_does() -> None:
    norms = []
    for kind in ("softmax_mse", "cross_entropy"):
        z = torch.tensor([[-10.0, 10.0, -1000.0]], dtype=torch.float64, requires_grad=True)
        made(kind=kind)(z, torch.tensor([0])).backward()
        norms.append(z.grad.norm().item() if z.grad is not None else 0)
    assert norms == pytest.approx([1.17e-8, 1.414], rel=5e-3)


def test_a_soft_margin_far_on_the_wrong_side_is_finite() -> None:
    assert made(kind="soft_margin")(torch.tensor([[-1000.0]]), torch.tensor([[1.0]])).item() == 1000


@pytest.mark.parametrize("document", [{"weight": WEIGHT}, {"ignore_index": 1}, {"ignore_index": 1, "weight": WEIGHT}])
def test_means_over_pieces_weighed_by_their_mass_are_the_mean_over_all(document: dict[str, Any]) -> None:
    criterion = made(kind="cross_entropy", **document)
    z, y = rows(columns=3)
    whole = loss_denominator(criterion, y)
    parts = [criterion(*piece) * loss_denominator(criterion, piece[1]) / whole for piece in split_batch((z, y), 3)]
    assert float(sum(parts)) == pytest.approx(criterion(z, y).item(), rel=1e-6)
    text, tokens = z.reshape(4, 5, 3), y.reshape(4, 5)
    every = PerPosition(criterion)
    halves = [every(text[i : i + 2], tokens[i : i + 2]) * loss_denominator(every, tokens[i : i + 2]) for i in (0, 2)]
    assert float(sum(halves) / loss_denominator(every, tokens)) == pytest.approx(criterion(z, y).item(), rel=1e-6)


def test_a_weighted_loss_is_validated_as_a_whole_and_accumulated_alike(
    experiment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = experiment(loss={"kind": "cross_entropy", "weight": (1.0, 5.0, 0.2)}, steps=8, batch_size=32)
    steps = list(train(prepare(spec, 0, CPU)))
    monkeypatch.setattr("worker.trainer.step.evaluation.evaluation_rows", lambda spec: 7)
    in_pieces = list(train(prepare(spec.model_copy(update={"accumulate": 3}), 0, CPU)))
    assert [s.loss.item() for s in in_pieces] == pytest.approx([s.loss.item() for s in steps], rel=1e-5)
    validation = [float((s[-1].metrics or {})["val/loss"]) for s in (steps, in_pieces)]
    assert validation[1] == pytest.approx(validation[0], rel=1e-5)


def test_a_gaussian_model_learns_and_has_two_outputs(experiment: Any) -> None:
    spec = experiment(
        dataset={"kind": "diabetes"}, loss={"kind": "gaussian_nll"}, optimizer={"kind": "adam"}, epochs=30
    )
    assert spec.outputs == 2
    steps = list(train(prepare(spec, 0, CPU)))
    assert float((steps[-1].metrics or {})["val/loss"]) < 0.4  # a standard normal guess has 0.5


def test_negative_counts_are_refused_once_they_are_seen(experiment: Any) -> None:
    spec = experiment(dataset={"kind": "diabetes"}, loss={"kind": "poisson_nll"})  # standardised: checks refuse it
    with pytest.raises(RunFailure, match="poisson_nll is for counts") as caught:
        prepare(spec, 0, CPU)
    assert caught.value.kind == "spec_cannot_build"


def test_every_loss_of_torch_is_a_kind_or_left_out_with_a_reason() -> None:
    theirs = {name for name in dir(nn) if name.endswith("Loss") and isinstance(getattr(nn, name), type)}
    ours = {member.target.partition(":")[2] for member in Loss.__origin__.__args__ if member.target}  # type: ignore[attr-defined]
    assert theirs - ours - {"GaussianNLLLoss", "KLDivLoss", "SoftMarginLoss"} == set(LEFT_OUT)


KNOWN_MINIMA: list[dict[str, Any]] = [
    *({"kind": kind} for kind in ("cross_entropy", "nll", "softmax_mse", "multi_margin")),
    {"kind": "cross_entropy", "label_smoothing": 0.3},
    {"kind": "kl_div", "smoothing": 0.3},
    *({"kind": kind} for kind in ("bce_with_logits", "hinge", "soft_margin", "mse", "mae", "huber", "smooth_l1")),
]


@pytest.mark.parametrize("document", KNOWN_MINIMA, ids=str)
def test_the_minimum_of_a_loss_is_reached_by_the_best_outputs_and_by_no_others(document: dict[str, Any]) -> None:
    loss = TypeAdapter(Loss).validate_python(document)
    classes = 0 if "regression" in loss.tasks else 2 if loss.binary else 3
    _, y = rows(loss.binary) if classes else rows()
    y = y if classes else y.float().unsqueeze(1)
    share = document.get("label_smoothing", document.get("smoothing", 0.0))
    best = 100 * (2 * y - 1) if loss.binary else y
    if classes == 3:
        best = ((1 - share) * F.one_hot(y, 3) + share / 3).clamp(min=1e-40).log()
    minimum = loss.minimum(classes)
    assert minimum is not None
    assert made(**document)(best, y).item() == pytest.approx(minimum, abs=1e-6)
    for seed in range(20):
        torch.manual_seed(seed)
        outputs = best + 3 * torch.randn_like(best) if share or not classes else torch.randn_like(best)
        assert made(**document)(outputs.log_softmax(1) if classes == 3 else outputs, y).item() > minimum + 1e-3


def test_losses_whose_minimum_depends_on_the_data_have_none() -> None:
    unknown = {member.model_fields["kind"].default for member in Loss.__origin__.__args__}  # type: ignore[attr-defined]
    unknown -= {"one_hot_mse"} | {document["kind"] for document in KNOWN_MINIMA}  # its is at the one-hot class
    assert unknown == {"poisson_nll", "gaussian_nll", "objective"}
    assert [TypeAdapter(Loss).validate_python({"kind": kind}).minimum(0) for kind in unknown] == [None] * 3


def test_gaussian_nll_of_several_values_is_the_mean_of_theirs() -> None:
    outputs, y = torch.randn(9, 6), torch.randn(9, 3)
    each = [GaussianNLL()(outputs[:, [at, 3 + at]], y[:, at : at + 1]) for at in range(3)]
    assert torch.allclose(GaussianNLL()(outputs, y), torch.stack(each).mean())
