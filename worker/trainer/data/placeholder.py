"""No data, in the form that the loop wants: one row without numbers in it."""

import numpy as np

from worker.trainer.data.split import Arrays


def nothing() -> Arrays:
    """x (1,) and y (1,), which no objective looks at."""
    return np.zeros(1, np.float32), np.zeros(1, np.float32)
