"""The kind of critical point that the weights are at (Dauphin et al. 2014, arXiv:1406.2572, section 3).

A point is near-critical if its gradient is small, relative to the run's first or in absolute terms for a run that
begins at such a point, and the next update would change almost nothing. Then both ends of the Hessian's spectrum
decide, each with a residual, against a tolerance that is at least the residual. The smallest eigenvalue converges last:
with 2,410 parameters, ten products give the largest to seven digits and less than half of the smallest.
"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from service.spec.probes import on_demand
from worker.trainer.probes.lanczos import Extremes, extremes, random_start
from worker.trainer.probes.measurement import Instrument, Measurement, ProbedTraining, as_json
from worker.trainer.probes.model_copy import ModelCopy, norm
from worker.trainer.probes.saddle_escape import Escape, search_escape
from worker.trainer.probes.scratch_training import next_update

Verdict = Literal[
    "not_critical",
    "strict_saddle",
    "maximum",
    "minimum",
    "minimum_up_to_flat_directions",
    "degenerate",
    "inconclusive",
]
MAX_DENSE = 2_500  # parameters: up to here all eigenvalues are computed
MIN_PRODUCTS = 60  # before the smallest eigenvalue is trusted
SMALL_GRADIENT = 1e-3  # of the first gradient's norm
ZERO_GRADIENT = 1e-8  # times sqrt(n)
NO_PROGRESS = 1e-6  # of the loss, by the next update
ZERO_LOSS = 1e-9  # of the first loss: counts as no progress where the loss itself is 0
ZERO_EIGENVALUE = 1e-6  # of the largest eigenvalue: below it one counts as 0
MAX_RESIDUAL = 0.1  # over the smallest eigenvalue
MAX_FLAT_RESIDUAL = 1e-3  # over the largest eigenvalue, where the smallest counts as 0


class Nearness(NamedTuple):
    """How close a point is to critical, without curvature."""

    gradient: float
    first_gradient: float
    loss: float
    first_loss: float
    progress: float  # |gradient @ next update|: its first-order decrease of the loss
    limit: float  # of progress
    near: bool


class CriticalPoint(Instrument[on_demand.CriticalPoint]):
    """The verdict with its evidence, and at a saddle an escape with its *measured* drop of the loss.

    Cost: two gradients and an update; near a critical point also 60 to `products` products of 1.5 gradients (one per
    parameter in small models), and 30 to 60 forward passes along the escape.
    """

    def __init__(self, component: on_demand.CriticalPoint) -> None:
        super().__init__(component)
        self.escape: Escape | None = None  # of the last measurement

    def measure(self, training: ProbedTraining) -> Measurement:
        """Compute curvature near a critical point, or where `anyway` asks for it."""
        self.escape = None
        copy = ModelCopy.of(training, self.component, penalty=True)
        slope = copy.gradient()
        nearness = measure_nearness(training, copy, slope)
        values = {"critical_point/gradient_ratio": nearness.gradient / (nearness.first_gradient or 1.0)}
        if not (nearness.near or self.component.anyway):
            data = as_json(verdict="not_critical", nearness=nearness._asdict(), twin=copy.describe())
            return Measurement(values, data)
        found, how = ends(copy, self.component.products)
        tolerance = tolerance_of(found, copy.dtype)
        verdict = judge(found, tolerance) if nearness.near else "not_critical"
        curved = judge(found, tolerance)
        if curved in ("strict_saddle", "maximum", "degenerate"):
            direction = found.low_vector if curved != "degenerate" else None
            self.escape = search_escape(copy, slope, direction, found.low)
        values |= {"critical_point/lambda_min": found.low, "critical_point/lambda_max": found.high}
        if self.escape is not None:
            values["critical_point/drop"] = self.escape.drop
        data = as_json(
            verdict=verdict,
            curvature=curved,
            nearness=nearness._asdict(),
            lambda_min=found.low,
            lambda_min_residual=found.low_residual,
            lambda_max=found.high,
            lambda_max_residual=found.high_residual,
            tolerance=tolerance,
            products=found.products,
            method=how,
            escape=None if self.escape is None else self.escape.describe(),
            escapable=self.escape is not None and self.escape.drop > 0,
        )
        return Measurement(values, data | as_json(twin=copy.describe()))

    def step_out(self, training: ProbedTraining) -> bool:
        """Move the training to the last measurement's escape; return False if that lowers nothing."""
        if self.escape is None or self.escape.drop <= 0:
            return False
        self.escape.apply(training)
        return True


def measure_nearness(training: ProbedTraining, copy: ModelCopy, slope: Tensor) -> Nearness:
    """Compare the gradient with the first one of this spec and seed, and predict the next update's progress."""
    here = copy.theta()
    loss = copy.value()
    update, _ = next_update(training, copy)
    progress = abs(float(slope @ update))
    copy.put(copy.initial())
    first_loss, first = copy.value(), norm(copy.gradient())
    copy.put(here)
    size = norm(slope)
    limit = max(NO_PROGRESS * abs(loss), ZERO_LOSS * abs(first_loss))
    small = size <= SMALL_GRADIENT * first or size <= ZERO_GRADIENT * copy.n**0.5
    return Nearness(size, first, loss, first_loss, progress, limit, small and progress <= limit)


def ends(copy: ModelCopy, most: int) -> tuple[Extremes, str]:
    """Return both ends of the spectrum: dense in small models, else by Lanczos."""
    if copy.n <= min(MAX_DENSE, most):
        values, vectors = torch.linalg.eigh(copy.hessian())
        low, high = vectors[:, 0], vectors[:, -1]
        found = Extremes(float(values[0]), 0.0, low, float(values[-1]), 0.0, high, copy.n)
        return _with_residuals(copy, found), "dense"
    start = random_start(copy.n, copy.theta())
    found = extremes(copy.product, start, most, least=min(MIN_PRODUCTS, copy.n), low_tolerance=MAX_RESIDUAL)
    return _with_residuals(copy, found), "lanczos"


def _with_residuals(copy: ModelCopy, found: Extremes) -> Extremes:
    """Replace the residuals by their actual values, rounding included, at two more products."""
    low = norm(copy.product(found.low_vector) - found.low * found.low_vector)
    high = norm(copy.product(found.high_vector) - found.high * found.high_vector)
    return found._replace(low_residual=low, high_residual=high, products=found.products + 2)


def tolerance_of(found: Extremes, dtype: torch.dtype) -> float:
    """Return the size below which an eigenvalue counts as 0, at least the residual and the precision's limit."""
    precision = 1e-8 if dtype == torch.float64 else 1e-5
    return max(ZERO_EIGENVALUE * max(abs(found.low), abs(found.high)), found.low_residual, precision)


def judge(found: Extremes, tolerance: float) -> Verdict:
    """Return the verdict of both ends; a residual as large as its eigenvalue decides nothing unless both are 0."""
    low, high = found.low, found.high
    largest = max(abs(low), abs(high))
    if abs(low) <= tolerance and abs(high) <= tolerance:
        return "degenerate"
    if low < -tolerance:
        if found.low_residual > MAX_RESIDUAL * abs(low):
            return "inconclusive"
        return "maximum" if high < -tolerance else "strict_saddle"
    if found.low_residual > max(MAX_RESIDUAL * abs(low), MAX_FLAT_RESIDUAL * largest):
        return "inconclusive"
    return "minimum" if low > tolerance else "minimum_up_to_flat_directions"
