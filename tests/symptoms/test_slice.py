"""A slice of the library is trained and judged here; `python -m tests.symptoms` does all of it, over seeds."""

from collections.abc import Iterator

import pytest

from service.symptoms.library import symptoms
from tests.symptoms.judging import judged
from tests.symptoms.remedies import tried

SLICE = (
    "zero-init",
    "dead-relu-start",
    "rate-x100-regression",
    "rate-1000th-sgd",
    "saddle-toy-net",
    "overfit-few-rows",
)
HEALTHY = ("healthy-sgd", "healthy-adam", "healthy-regression", "healthy-full-batch")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """It is part of what a run is; torch is left as it was found."""
    import torch

    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.mark.parametrize("name", [*SLICE, *HEALTHY])
def test_a_broken_training_has_its_diagnosis_and_a_healthy_one_none(name: str) -> None:
    (found,) = judged({name: symptoms()[name]}, [0])
    assert found.result.right, found.diagnosis.headline


def test_the_remedy_of_a_zero_start_is_seen_to_help() -> None:
    found = judged({"zero-init": symptoms()["zero-init"]}, [0])
    (verified,) = tried(found, None, 1)
    assert verified.outcome == "helped"
