"""A learning curve extrapolated to its end, with the uncertainty of that."""

from collections.abc import Sequence

import numpy as np

from service.analysis.arrays import Values

EXPONENTS = np.array([0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0])
PRIOR_POINTS = 2.0  # how many points' worth the noise assumed beforehand counts
NOISE = 0.05  # of a curve whose values span 1, before anything is seen of it
WIDTH = 3.0  # standard deviation of the coefficients beforehand, in spans of the curve


def chance_to_reach(shares: Sequence[float], losses: Sequence[float], target: float) -> float:
    """Return the probability that a curve ends at or below `target`.

    The curve is y(x) = c + a (x^-b - 1) + noise at shares x of the training, so that c is where it ends. For each
    exponent b of a list, c and a have normal priors and the noise an inverse gamma one, so that c has a t distribution
    (conjugate linear regression); the exponents are weighed by their evidence. `losses` are lower-is-better; a value
    that is not finite ends with probability 0. Fewer than two values: 1, nothing is known.
    """
    x, y = np.asarray(shares, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if len(y) and not np.isfinite(y).all():
        return 0.0
    if len(y) < 2:
        return 1.0
    from scipy.special import stdtr  # noqa: PLC0415

    span = float(y.max() - y.min()) or max(abs(float(y[-1])), 1e-12)
    y, goal = (y - y[-1]) / span, (target - y[-1]) / span
    evidence, chances = [], []
    for exponent in EXPONENTS:
        log_evidence, centre, scale, freedom = _ending(x, y, float(exponent))
        evidence.append(log_evidence)
        chances.append(float(stdtr(freedom, (goal - centre) / scale)))
    weights = np.exp(np.array(evidence) - max(evidence))
    return float(weights @ np.array(chances) / weights.sum())


def _ending(x: Values, y: Values, exponent: float) -> tuple[float, float, float, float]:
    """Return the log evidence of an exponent, and centre, scale and degrees of freedom of the value at the end."""
    from scipy.special import gammaln  # noqa: PLC0415

    design = np.stack([np.ones_like(x), x**-exponent - 1.0], axis=1)
    design[:, 1] /= max(abs(design[0, 1]), 1e-12)  # the coefficient is how far the first value is above the end
    precision = np.eye(2) * NOISE**2 / WIDTH**2  # of the coefficients, in units of the noise
    total = design.T @ design + precision
    mean = np.linalg.solve(total, design.T @ y)
    shape = 0.5 * (PRIOR_POINTS + len(y))
    rate = max(0.5 * float(PRIOR_POINTS * NOISE**2 + y @ y - mean @ total @ mean), 1e-12)
    spread = rate / shape * (np.linalg.inv(total)[0, 0] + 1.0)  # of a value that is measured there, with its noise
    evidence = -0.5 * np.linalg.slogdet(total)[1] - shape * np.log(rate) + gammaln(shape)
    return float(evidence), float(mean[0]), float(np.sqrt(spread)), 2 * shape
