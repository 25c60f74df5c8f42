"""The files of scikit-learn are read as its own loaders read them, and a trainer gets warm without importing it."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from worker.trainer.data import bundled

LABELLED = ["digits", "breast_cancer", "wine", "iris"]
Load = Callable[[], tuple[Any, Any]]


def of_scikit_learn(name: str, **options: Any) -> tuple[Any, Any]:
    """Rows and targets from its own loader; imported here, because it takes a second."""
    from sklearn import datasets

    return getattr(datasets, f"load_{name}")(return_X_y=True, **options)


@pytest.mark.parametrize("name", LABELLED)
def test_rows_and_classes_are_scikit_learns(name: str) -> None:
    x, labels = getattr(bundled, name)()
    expected, classes = of_scikit_learn(name)
    assert x.dtype == np.float64
    assert labels.dtype == np.int64
    np.testing.assert_array_equal(x.reshape(len(x), -1), expected)
    np.testing.assert_array_equal(labels, classes)


def test_the_grey_values_of_a_digit_lie_where_they_are_seen() -> None:
    from sklearn import datasets

    x, _ = bundled.digits()
    np.testing.assert_array_equal(x[:, 0], datasets.load_digits().images)


@pytest.mark.parametrize(
    ("load", "reference", "column"),
    [
        (bundled.diabetes, partial(of_scikit_learn, "diabetes", scaled=False), None),
        *(
            (partial(bundled.linnerud, measure), partial(of_scikit_learn, "linnerud"), at)
            for at, measure in enumerate(bundled.MEASURES)
        ),
    ],
)
def test_rows_and_values_are_scikit_learns(load: Load, reference: Load, column: int | None) -> None:
    x, values = load()
    expected, targets = reference()
    assert x.dtype == values.dtype == np.float64
    np.testing.assert_array_equal(x, expected)
    np.testing.assert_array_equal(values, targets if column is None else targets[:, column])


def test_a_trainer_is_warm_without_what_takes_seconds_to_import() -> None:
    program = """
import sys, torch, worker.trainer
from worker.trainer.warm import warm_up
warm_up(torch.device("cpu"))
print(*sorted({"torch._dynamo", "torch._inductor", "sympy", "sklearn", "scipy.stats", "pandas"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout.split() == []
