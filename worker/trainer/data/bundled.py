"""The datasets bundled with scikit-learn, read from its package without network.

Each returns rows x (N, *shape) as float64 and targets (N,): labels as int64, or values as float64. Files are read as
scikit-learn's loaders do; importing those takes 5 seconds of processor time.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from worker.trainer.data.split import Arrays

MEASURES = ("weight", "waist", "pulse")


def digits() -> Arrays:
    """x (1797, 1, 8, 8), grey values 0 to 16; ten classes."""
    x, labels = _read_labelled("digits.csv.gz", header=0)
    return x.reshape(-1, 1, 8, 8), labels


def breast_cancer() -> Arrays:
    """x (569, 30); 0 malignant, 1 benign."""
    return _read_labelled("breast_cancer.csv")


def wine() -> Arrays:
    """x (178, 13); three classes."""
    return _read_labelled("wine_data.csv")


def iris() -> Arrays:
    """x (150, 4); three classes."""
    return _read_labelled("iris.csv")


def diabetes() -> Arrays:
    """x (442, 10) as measured, without scikit-learn's default scaling; progression 25 to 346."""
    return _read("diabetes_data_raw.csv.gz"), _read("diabetes_target.csv.gz")


def linnerud(measure: str = "weight") -> Arrays:
    """x (20, 3): chin-ups, sit-ups, jumps; weight in pounds, waist in inches, or pulse."""
    x, measures = (_read(f"linnerud_{part}.csv", skiprows=1) for part in ("exercise", "physiological"))
    return x, measures[:, MEASURES.index(measure)]


def _read_labelled(name: str, header: int = 1) -> Arrays:
    rows = _read(name, delimiter=",", skiprows=header)
    return rows[:, :-1], rows[:, -1].astype(np.int64)


def _read(name: str, **format: Any) -> npt.NDArray[np.float64]:
    """Read a file of the package, which is found without importing it."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the package scikit-learn is not installed", name="scikit-learn")
    return np.loadtxt(Path(package.origin).parent / "datasets" / "data" / name, **format)
