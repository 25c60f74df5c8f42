"""What had been seen and spent by each step, against counting."""

import numpy as np
import pytest

from service.analysis.axes import Segment, epochs, gradient_evaluations, samples, seconds


@pytest.mark.parametrize(("rows", "train"), [(4, 10), (5, 10), (10, 10), (1, 3)])
def test_samples_are_counted_batch_by_batch(rows: int, train: int) -> None:
    seen, counted = 0, []
    for _ in range(4):
        for start in range(0, train, rows):
            seen += min(rows, train - start)
            counted.append(seen)
    steps = np.arange(1, len(counted) + 1)
    assert samples(steps, rows, train).tolist() == counted
    assert epochs(steps, -(-train // rows))[-1] == 4.0


def test_a_step_is_one_gradient_unless_the_optimizer_counted() -> None:
    steps = np.array([1, 2, 3])
    assert gradient_evaluations(steps, None).tolist() == [1, 2, 3]
    assert gradient_evaluations(steps, (np.array([1, 3]), np.array([5.0, 11.0]))).tolist() == [5, 8, 11]


def test_seconds_are_exact_where_they_are_known_and_in_proportion_between() -> None:
    first = Segment([0, 100, 200], [10.0, 20.0, 40.0])  # lost after a checkpoint at 200
    second = Segment([200, 300], [100.0, 110.0])
    found = seconds(np.array([0, 50, 100, 150, 200, 201, 250, 300, 400]), [first, second])
    assert found.tolist() == [0.0, 15.0, 20.0, 30.0, 40.0, 100.1, 105.0, 110.0, 110.0]


def test_an_attempt_that_was_superseded_from_its_start_counts_only_as_time() -> None:
    assert seconds(np.array([1, 2]), [Segment([0], [0.0]), Segment([0, 2], [50.0, 52.0])]).tolist() == [51.0, 52.0]
