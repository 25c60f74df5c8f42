"""The datasets that come inside scikit-learn: read from its package, no network.

Each gives rows x (N, *shape) as float32 and targets: labels (N,) as int64, or values (N,) as float32. This module is
imported when the first dataset is read, because scikit-learn takes half a second.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_linnerud, load_wine

from worker.data.split import Arrays

MEASURES = ("weight", "waist", "pulse")


def digits() -> Arrays:
    """x (1797, 1, 8, 8), grey values 0 to 16; ten classes."""
    x, labels = _labelled(load_digits)
    return x.reshape(-1, 1, 8, 8), labels


def breast_cancer() -> Arrays:
    """x (569, 30); 0 malignant, 1 benign."""
    return _labelled(load_breast_cancer)


def wine() -> Arrays:
    """x (178, 13); three classes."""
    return _labelled(load_wine)


def iris() -> Arrays:
    """x (150, 4); three classes."""
    return _labelled(load_iris)


def diabetes() -> Arrays:
    """x (442, 10) as measured, not as scikit-learn scales it by default; progression 25 to 346."""
    x, values = load_diabetes(return_X_y=True, scaled=False)
    return x.astype(np.float32), values.astype(np.float32)


def linnerud(measure: str = "weight") -> Arrays:
    """x (20, 3): chin-ups, sit-ups, jumps; weight in pounds, waist in inches, or pulse."""
    x, measures = load_linnerud(return_X_y=True)
    return x.astype(np.float32), measures[:, MEASURES.index(measure)].astype(np.float32)


def _labelled(load: Callable[..., Any]) -> Arrays:
    x, labels = load(return_X_y=True)
    return x.astype(np.float32), labels.astype(np.int64)
