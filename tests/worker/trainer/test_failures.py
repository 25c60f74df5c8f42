"""Exceptions become the failures that a run's row can hold."""

import pytest
import torch

from service.errors import RunFailure
from worker.trainer.failures import MAX_DETAIL, run_failure_of


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
        (torch.AcceleratorError("device-side assert"), True, "device_failed"),
        (torch.AcceleratorError("CUDA error: out of memory"), False, "cuda_oom"),
        (RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED when calling x"), False, "device_failed"),
    ],
)
def test_each_error_has_its_kind(error: Exception, building: bool, kind: str) -> None:
    failure = run_failure_of(error, 7, building)
    assert (failure.kind, failure.step) == (kind, 7)
    assert failure.detail.startswith(type(error).__name__)


def test_torchs_own_refusal_to_allocate_is_out_of_memory() -> None:
    assert run_failure_of(_too_much(), 1).kind == "out_of_memory"


def test_a_run_failure_stays_what_it_is() -> None:
    failure = RunFailure("diverged", "it did", 3)
    assert run_failure_of(failure, 9) is failure


def test_details_are_one_bounded_line_that_a_database_takes() -> None:
    detail = run_failure_of(ValueError("a\x00\n\ud800" + "x" * 5000), 1).detail
    assert len(detail) == MAX_DETAIL
    assert detail.startswith("ValueError: a ?x")
