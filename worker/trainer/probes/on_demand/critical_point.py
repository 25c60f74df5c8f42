"""Is this a critical point, and of what kind? (Dauphin et al. 2014, arXiv:1406.2572, section 3)

Near: the gradient is small beside the run's first one, or in absolute terms for runs that begin at such a point, and
the next update would change nothing. Then the ends of the Hessian's spectrum decide, each with a residual, against a
tolerance that is never smaller than the residual. The smallest eigenvalue converges last: of 2,410 parameters, ten
products find the largest to seven digits and less than half of the smallest.
"""

from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from worker.trainer.probes.lanczos import Extremes, extremes, random_start
from worker.trainer.probes.measurement import Measurement, ProbedTraining, document
from worker.trainer.probes.model_copy import ModelCopy, norm
from worker.trainer.probes.saddle_escape import Escape, search
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
DENSE = 2_500  # parameters: up to here all eigenvalues
LEAST = 60  # products before the smallest eigenvalue is believed
SMALL_GRADIENT = 1e-3  # of the first gradient's norm
ZERO_GRADIENT = 1e-8  # times sqrt(n)
NO_PROGRESS = 1e-6  # of the loss, by the next update
NOTHING = 1e-9  # of the first loss: what counts as no progress where the loss itself is 0
RELATIVE = 1e-6  # of the largest eigenvalue: below it one is 0
SURE = 0.1  # residual over the smallest eigenvalue
FLAT = 1e-3  # residual over the largest eigenvalue, where the smallest is taken for 0


class Nearness(NamedTuple):
    """How critical a point is before any curvature."""

    gradient: float
    first_gradient: float
    loss: float
    first_loss: float
    progress: float  # |gradient @ next update|: what a first order model promises of it
    limit: float  # of progress
    near: bool


class CriticalPoint:
    """The verdict with its evidence, and at a saddle the way out with the drop that was *measured* along it.

    Cost: two gradients and an update; near a critical point also 60 to `products` products of 1.5 gradients, with few
    parameters one for each; 30 to 60 forward passes along the way out.
    """

    def __init__(self, component: Any) -> None:
        self.rows: int = component.rows
        self.norms = component.batch_norm
        self.most: int = component.products
        self.anyway: bool = component.anyway
        self.escape: Escape | None = None  # of the last look

    def measure(self, training: ProbedTraining) -> Measurement:
        """The curvature is looked at near a critical point, or where that is asked for anyway."""
        self.escape = None
        twin = ModelCopy(training, self.rows, self.norms, penalty=True)
        slope = twin.gradient()
        nearness = near(training, twin, slope)
        values = {"critical_point/gradient_ratio": nearness.gradient / (nearness.first_gradient or 1.0)}
        if not (nearness.near or self.anyway):
            data = document(verdict="not_critical", nearness=nearness._asdict(), twin=twin.described())
            return Measurement(values, data)
        found, how = ends(twin, self.most)
        tolerance = tolerance_of(found, twin.dtype)
        verdict = judge(found, tolerance) if nearness.near else "not_critical"
        curved = judge(found, tolerance)
        if curved in ("strict_saddle", "maximum", "degenerate"):
            direction = found.low_vector if curved != "degenerate" else None
            self.escape = search(twin, slope, direction, found.low)
        values |= {"critical_point/lambda_min": found.low, "critical_point/lambda_max": found.high}
        if self.escape is not None:
            values["critical_point/drop"] = self.escape.drop
        data = document(
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
            escape=None if self.escape is None else self.escape.described(),
            escapable=self.escape is not None and self.escape.drop > 0,
        )
        return Measurement(values, data | document(twin=twin.described()))

    def step_out(self, training: ProbedTraining) -> bool:
        """Put the training itself where the last look's escape leads; False where it leads nowhere lower."""
        if self.escape is None or self.escape.drop <= 0:
            return False
        self.escape.apply(training)
        return True


def near(training: ProbedTraining, twin: ModelCopy, slope: Tensor) -> Nearness:
    """The gradient beside the first one of this spec and seed, and what the next update promises."""
    here = twin.theta()
    loss = twin.value()
    update, _ = next_update(training, twin)
    progress = abs(float(slope @ update))
    twin.put(twin.initial())
    first_loss, first = twin.value(), norm(twin.gradient())
    twin.put(here)
    size = norm(slope)
    limit = max(NO_PROGRESS * abs(loss), NOTHING * abs(first_loss))
    small = size <= SMALL_GRADIENT * first or size <= ZERO_GRADIENT * twin.n**0.5
    return Nearness(size, first, loss, first_loss, progress, limit, small and progress <= limit)


def ends(twin: ModelCopy, most: int) -> tuple[Extremes, str]:
    """Both ends of the spectrum: of all eigenvalues where they are few, else by Lanczos."""
    if twin.n <= min(DENSE, most):
        values, vectors = torch.linalg.eigh(twin.hessian())
        low, high = vectors[:, 0], vectors[:, -1]
        found = Extremes(float(values[0]), 0.0, low, float(values[-1]), 0.0, high, twin.n)
        return _measured(twin, found), "dense"
    start = random_start(twin.n, twin.theta())
    found = extremes(twin.product, start, most, least=min(LEAST, twin.n), low_tolerance=SURE)
    return _measured(twin, found), "lanczos"


def _measured(twin: ModelCopy, found: Extremes) -> Extremes:
    """With the residuals as they are, rounding included, for two products more."""
    low = norm(twin.product(found.low_vector) - found.low * found.low_vector)
    high = norm(twin.product(found.high_vector) - found.high * found.high_vector)
    return found._replace(low_residual=low, high_residual=high, products=found.products + 2)


def tolerance_of(found: Extremes, dtype: torch.dtype) -> float:
    """Below it an eigenvalue is 0: a share of the largest, or what the residual leaves open, or what is nothing."""
    nothing = 1e-8 if dtype == torch.float64 else 1e-5
    return max(RELATIVE * max(abs(found.low), abs(found.high)), found.low_residual, nothing)


def judge(found: Extremes, tolerance: float) -> Verdict:
    """What the two ends say; a residual as large as its eigenvalue says nothing, unless both are nothing."""
    low, high = found.low, found.high
    largest = max(abs(low), abs(high))
    if abs(low) <= tolerance and abs(high) <= tolerance:
        return "degenerate"
    if low < -tolerance:
        if found.low_residual > SURE * abs(low):
            return "inconclusive"
        return "maximum" if high < -tolerance else "strict_saddle"
    if found.low_residual > max(SURE * abs(low), FLAT * largest):
        return "inconclusive"
    return "minimum" if low > tolerance else "minimum_up_to_flat_directions"
