"""Exceptions become the failures that a run's row can hold."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from service.errors import RunFailure
from worker.trainer.failures import MAX_DETAIL, loses_device, run_failure_of


def _too_much() -> Exception:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    return caught.value


@pytest.mark.parametrize(
    ("error", "building", "kind"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), False, "cuda_oom"),
        (torch.OutOfMemoryError("CUDA out of memory"), True, "cuda_oom"),
        (MemoryError(), False, "out_of_memory"),
        (ValueError("bad"), True, "spec_cannot_build"),
        (ValueError("bad"), False, "crashed"),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), False, "crashed"),
        (torch.AcceleratorError("CUDA error: device-side assert triggered"), True, "crashed"),
        (torch.AcceleratorError("CUDA error: out of memory"), True, "cuda_oom"),
        (torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered"), False, "device_error"),
        (torch.AcceleratorError("another accelerator's words"), False, "device_error"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `x`"), True, "cuda_oom"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `x`"), False, "device_error"),
        (RuntimeError("index out of range in self"), True, "spec_cannot_build"),
    ],
)
def test_each_error_has_its_kind(error: Exception, building: bool, kind: str) -> None:
    failure = run_failure_of(error, 7, building)
    assert (failure.kind, failure.step) == (kind, 7)
    assert failure.detail.startswith(type(error).__name__)


OUT_OF_RANGE: list[tuple[Callable[[], torch.Tensor], str]] = [
    (lambda: functional.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 3])), "label is outside 0..K-1"),
    (lambda: functional.nll_loss(torch.zeros(2, 3), torch.tensor([0, -1])), "label is outside 0..K-1"),
    (lambda: functional.embedding(torch.tensor([4]), torch.zeros(4, 2)), "number of embeddings"),
    (lambda: torch.zeros(4)[torch.tensor([4])], "outside its tensor"),
    (lambda: torch.zeros(4).gather(0, torch.tensor([4])), "outside its tensor"),
    (lambda: functional.binary_cross_entropy(torch.tensor([2.0]), torch.tensor([1.0])), "use a loss that takes logits"),
]


@pytest.mark.parametrize(("operation", "cause"), OUT_OF_RANGE)
def test_what_torch_raises_for_values_out_of_range_is_the_runs_failure_with_its_cause(
    operation: Callable[[], torch.Tensor], cause: str
) -> None:
    with pytest.raises((IndexError, RuntimeError)) as caught:
        operation()
    failure = run_failure_of(caught.value, 5)
    assert failure.kind == "crashed"
    assert cause in failure.evidence["cause"]
    assert not loses_device(caught.value)


def test_an_error_without_a_known_cause_has_none() -> None:
    assert run_failure_of(ValueError("bad"), 1).evidence == {"error": "ValueError"}


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("CUDA error: device-side assert triggered", True),
        ("CUDA error: an illegal memory access was encountered", True),
        ("CUDA error: uncorrectable ECC error encountered", True),
        ("CUDA error: out of memory", False),
        ("CUDA error: invalid configuration argument", False),
    ],
)
def test_some_errors_make_everything_later_on_the_device_fail(text: str, lost: bool) -> None:
    assert loses_device(torch.AcceleratorError(text)) == lost


def test_torchs_own_refusal_to_allocate_is_out_of_memory() -> None:
    assert run_failure_of(_too_much(), 1).kind == "out_of_memory"


def test_a_run_failure_stays_what_it_is() -> None:
    failure = RunFailure("diverged", "it did", 3)
    assert run_failure_of(failure, 9) is failure


def test_details_are_one_bounded_line_that_a_database_takes() -> None:
    detail = run_failure_of(ValueError("a\x00\n\ud800" + "x" * 5000), 1).detail
    assert len(detail) == MAX_DETAIL
    assert detail.startswith("ValueError: a ?x")
