"""An exact Gaussian process: Matern 5/2 kernel with a length scale per group of columns, by marginal likelihood.

Small on purpose: a few hundred points at most. Inputs lie in the unit cube, targets are standardised by the caller.
Rasmussen & Williams 2006, algorithm 2.1 and equation 5.9.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.analysis.arrays import Values

ROOT5 = 5**0.5
LEAST_NOISE = 1e-6  # variance, for a Cholesky factor that exists
# logarithms: mean and standard deviation of normal priors on length scales, signal variance and noise variance. The
# likelihood of ten points is flat, and its maximum often is a length scale of 0 or of infinity.
LENGTH_PRIOR, SIGNAL_PRIOR, NOISE_PRIOR = (-0.7, 1.0), (0.0, 1.0), (-5.0, 2.0)


@dataclass(frozen=True)
class Hyperparameters:
    """Length scales by group, and the variances of signal and noise."""

    lengths: Values  # (G,)
    signal: float
    noise: float


def kernel(a: Values, b: Values, groups: NDArray[np.int64], found: Hyperparameters) -> Values:
    """Return the covariances (N, M) of points a (N, D) and b (M, D); `groups` (D,) is the group of each column."""
    r = np.sqrt(_scaled(a, b, groups, found.lengths))
    covariances: Values = found.signal * (1 + ROOT5 * r + 5 / 3 * r**2) * np.exp(-ROOT5 * r)
    return covariances


def _scaled(a: Values, b: Values, groups: NDArray[np.int64], lengths: Values) -> Values:
    """Return squared distances (N, M) in length scales."""
    a, b = a / lengths[groups], b / lengths[groups]
    squares: Values = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T
    return np.maximum(squares, 0.0)


@dataclass(frozen=True)
class GaussianProcess:
    """A process given points x (N, D) and targets y (N,)."""

    x: Values
    groups: NDArray[np.int64]
    found: Hyperparameters
    factor: Values  # Cholesky factor of the covariances, lower
    weights: Values  # covariances^-1 y

    def posterior(self, points: Values) -> tuple[Values, Values]:
        """Return mean and standard deviation (M,) of the noiseless function at points (M, D)."""
        from scipy.linalg import solve_triangular  # noqa: PLC0415

        cross = kernel(points, self.x, self.groups, self.found)
        half = solve_triangular(self.factor, cross.T, lower=True, check_finite=False)
        return cross @ self.weights, np.sqrt(np.maximum(self.found.signal - (half**2).sum(0), 1e-18))


def condition(x: Values, y: Values, groups: NDArray[np.int64], found: Hyperparameters) -> GaussianProcess:
    """Return the process with these hyperparameters given the points."""
    from scipy.linalg import cho_solve  # noqa: PLC0415

    covariances = kernel(x, x, groups, found) + found.noise * np.eye(len(x))
    factor: Values = np.asarray(np.linalg.cholesky(covariances), dtype=np.float64)
    return GaussianProcess(x, groups, found, factor, cho_solve((factor, True), y, check_finite=False))


def log_likelihood(x: Values, y: Values, groups: NDArray[np.int64], found: Hyperparameters) -> tuple[float, Values]:
    """Return the log marginal likelihood and its gradient by the logarithms of lengths, signal and noise (G + 2,)."""
    from scipy.linalg import cho_solve  # noqa: PLC0415

    process = condition(x, y, groups, found)
    inverse = cho_solve((process.factor, True), np.eye(len(x)), check_finite=False)
    value = -0.5 * y @ process.weights - np.log(np.diag(process.factor)).sum() - 0.5 * len(x) * np.log(2 * np.pi)
    outer = np.outer(process.weights, process.weights) - inverse  # dL/dK is half of it
    r = np.sqrt(_scaled(x, x, groups, found.lengths))
    slope = (
        found.signal * 5 / 3 * (1 + ROOT5 * r) * np.exp(-ROOT5 * r)
    )  # dk/dlog l_g is this times (x - x')_g^2 / l_g^2
    gradient = np.empty(len(found.lengths) + 2)
    for group in range(len(found.lengths)):
        columns = x[:, groups == group] / found.lengths[group]
        own = (columns**2).sum(1)
        squares = own[:, None] + own[None, :] - 2 * columns @ columns.T
        gradient[group] = 0.5 * (outer * slope * squares).sum()
    signal = kernel(x, x, groups, found)
    gradient[-2] = 0.5 * (outer * signal).sum()
    gradient[-1] = 0.5 * found.noise * np.trace(outer)
    return float(value), gradient


def fit(x: Values, y: Values, groups: NDArray[np.int64]) -> Hyperparameters:
    """Return the hyperparameters of maximum posterior density, from the centre of the priors."""
    from scipy.optimize import minimize  # noqa: PLC0415

    count = int(groups.max()) + 1
    means = np.array([LENGTH_PRIOR[0]] * count + [SIGNAL_PRIOR[0], NOISE_PRIOR[0]])
    deviations = np.array([LENGTH_PRIOR[1]] * count + [SIGNAL_PRIOR[1], NOISE_PRIOR[1]])

    def loss(logs: Values) -> tuple[float, Values]:
        value, gradient = log_likelihood(x, y, groups, _from_logs(logs))
        off = (logs - means) / deviations
        return -value + 0.5 * float(off @ off), -gradient + off / deviations

    bounds = [(-5.0, 5.0)] * (count + 1) + [(np.log(LEAST_NOISE), 2.0)]
    best = minimize(loss, means, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 50})
    return _from_logs(best.x)


def _from_logs(logs: Values) -> Hyperparameters:
    numbers = np.exp(logs)
    return Hyperparameters(numbers[:-2], float(numbers[-2]), float(numbers[-1]))
