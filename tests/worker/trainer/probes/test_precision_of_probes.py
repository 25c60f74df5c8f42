"""Probes compute the function that trains: in its precision where they say so, by its kernels where these allow it."""

from typing import Any

import pytest
import torch
from torch import nn

from worker.trainer.loop import train
from worker.trainer.models.attention import twice_differentiable
from worker.trainer.numerics import numerics, set_numerics
from worker.trainer.probes.inline.batch_norm_gap import BatchNormGap
from worker.trainer.probes.inline.sanity_checks import measure
from worker.trainer.probes.measurement import differentiable
from worker.trainer.probes.model_copy import ModelCopy

CPU, GPU = torch.device("cpu"), torch.device("cuda")
WHOLE: dict[str, Any] = {"batch_size": "full", "shuffle": False}  # the probe's rows are those of the first update


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_initial_loss_is_the_one_of_the_first_update(precision: str, trained: Any) -> None:
    """Of all rows in their order, so the two are the same sum."""
    training = trained(**WHOLE, precision=precision)
    found = measure(training)["initial_loss"]
    assert found == next(train(training)).loss.item()


def test_the_initial_loss_of_bf16_is_not_that_of_fp32(trained: Any) -> None:
    found = {word: measure(trained(**WHOLE, precision=word))["initial_loss"] for word in ("fp32", "bf16")}
    assert found["fp32"] != found["bf16"]
    assert found["fp32"] == pytest.approx(found["bf16"], rel=1e-2)


def test_the_gap_of_batch_normalisation_is_in_the_precision_of_the_training(trained: Any, component: Any) -> None:
    seen: list[torch.dtype] = []
    for precision in ("fp32", "bf16"):
        training = trained(at=3, model={"kind": "mlp", "hidden": (8,), "norm": "batch"}, precision=precision)
        training.model.register_forward_hook(lambda _, rows, outputs: seen.append(outputs.dtype))
        probe = BatchNormGap(component(kind="norm_modes"))
        probe.begin(training)
        assert probe.after_evaluation(training, 3)["bn_gap"] > 0
    assert seen == [torch.float32] * 2 + [torch.bfloat16] * 2


def test_curvature_is_exact_and_says_in_what_precision_the_run_trains(trained: Any) -> None:
    """Rounded to bf16, a loss has steps: the probe's gradient is that of the function without them."""
    exact, rounded = (ModelCopy(trained(precision=word)) for word in ("fp32", "bf16"))
    assert torch.equal(exact.gradient(), rounded.gradient())
    assert (rounded.describe()["dtype"], rounded.describe()["trained_in"]) == ("float64", "bf16")


@pytest.mark.parametrize(("model", "cudnn"), [(nn.Conv2d(1, 1, 3), True), (nn.LSTM(2, 2), False)])
def test_cudnn_is_off_only_for_recurrent_cells(model: nn.Module, cudnn: bool) -> None:
    set_numerics("tf32", "strict", GPU)
    before = numerics(GPU)
    with twice_differentiable(nn.Sequential(model)):
        assert torch.backends.cudnn.enabled is cudnn
        assert numerics(GPU) == before
    assert torch.backends.cudnn.enabled
    set_numerics("fp32", "strict", GPU)
    with twice_differentiable(nn.Sequential(model)):
        assert not torch.backends.cudnn.allow_tf32, "torch.backends.cudnn.flags turns it on"


def test_products_are_exact_inside_and_tf32_again_outside() -> None:
    set_numerics("tf32", "warn", GPU)
    before = numerics(GPU)
    with differentiable(CPU, nn.Linear(1, 1)):
        assert set(numerics(GPU)["fp32_products"].values()) == {"ieee"}
    assert numerics(GPU) == before
    set_numerics("fp32", "strict", CPU)
