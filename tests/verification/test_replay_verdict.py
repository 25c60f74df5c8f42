"""Verdicts on replays: identical to the last bit, or the first step that is not and the likely cause."""

import math
from typing import Any, NamedTuple

import numpy as np
import pytest

from service.verification.replay_verdict import FirstDifference, ReplayVerdict, cause, compare

HERE = {"device": "cpu", "device_name": "x86_64 AVX2", "threads": 1, "torch": "2.13.0", "packages": {}, "host": "a"}


class Points(NamedTuple):
    steps: Any
    values: Any


def points(values: list[float], first: int = 1) -> Points:
    return Points(np.arange(first, first + len(values)), np.array(values, np.float64))


def test_equal_curves_are_identical_as_far_as_both_go() -> None:
    was = {"loss": points([3.0, 2.0, math.nan, 1.0]), "lr": points([0.1] * 4), "val/loss": points([9.0])}
    now = {"loss": points([3.0, 2.0, math.nan]), "lr": points([0.1] * 3)}
    assert compare(was, now, HERE, HERE) == ReplayVerdict(True, 3)


def test_nothing_to_compare_is_no_verdict() -> None:
    for now in ({}, {"loss": points([])}, {"loss": points([1.0], first=9)}):
        assert compare({"loss": points([1.0, 2.0])}, now, HERE, HERE) == ReplayVerdict(None, 0)


def test_the_first_bit_that_differs_is_named_with_both_values() -> None:
    other = np.nextafter(2.0, 3.0)
    was = {"loss": points([3.0, 2.0, 1.0]), "lr": points([0.1, 0.1, 0.1])}
    now = {"loss": points([3.0, other, 1.5]), "lr": points([0.1, 0.2, 0.1])}
    found = compare(was, now, HERE, HERE | {"threads": 2})
    assert found.first_difference == FirstDifference("loss", 2, 2.0, float(other))
    assert (found.identical, found.compared_steps) == (False, 3)
    assert found.cause == "threads was 1 and is 2: another count of CPU threads sums in another order."


def test_a_run_of_a_pack_is_told_apart_from_one_that_trains_alone() -> None:
    was, now = {"loss": points([4.0, 2.0, math.inf])}, {"loss": points([4.0, 2.0 + 4e-7, 1.0])}
    found = compare(was, now, HERE | {"pack": {"runs": 20}}, HERE)
    assert found.identical is False
    assert found.cause == (
        "It was trained in a pack of 20 runs and is trained alone, which adds in another order; "
        '"pack": "never" keeps all bits. The losses differ by at most 1e-07 of the largest one.'
    )
    alone = compare(was, now, HERE, HERE)
    assert alone.cause == "Unknown: device, thread count and versions are the same."


def test_a_step_that_only_one_has_and_a_zero_of_another_sign_are_differences() -> None:
    was = {"loss": Points(np.array([1, 2, 3]), np.array([3.0, 2.0, 1.0]))}
    now = {"loss": Points(np.array([1, 3]), np.array([3.0, 1.0]))}
    assert compare(was, now, HERE, HERE).first_difference == FirstDifference("loss", 2, 2.0, None)
    zero = compare({"loss": points([0.0])}, {"loss": points([-0.0])}, HERE, HERE)
    assert (zero.identical, zero.compared_steps) == (False, 1)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        (HERE, None, "Unknown: the environment of one of the two was not recorded."),
        (HERE, HERE | {"host": "b"}, "Unknown: device, thread count and versions are the same."),
        (HERE | {"determinism": "warn"}, HERE | {"determinism": "warn"}, "determinism is warn: kernels that add in no"),
        (HERE | {"determinism": "strict"}, HERE | {"determinism": "off"}, "determinism was strict and is off"),
        (HERE, HERE | {"device_name": "H200", "torch": "2.14"}, "device_name was x86_64 AVX2 and is H200"),
        (HERE, HERE | {"packages": {"schedulefree": "2"}}, "packages was {} and is {'schedulefree': '2'}"),
    ],
)  # fmt: skip
def test_the_cause_is_the_likeliest_of_what_differs(was: Any, now: Any, said: str) -> None:
    assert cause(was, now).startswith(said)
    if now and "torch" in now and now["torch"] == "2.14":
        assert cause(was, now).endswith("Also different: torch.")
