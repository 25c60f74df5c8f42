"""Sharpness against what the optimizer can stand (Cohen et al. 2021, arXiv:2103.00065; adaptive: 2207.14484)."""

from typing import Any

from torch import Tensor

from worker.trainer.probes.lanczos import Extremes, extremes, random_start
from worker.trainer.probes.measurement import Measurement, ProbedTraining, document
from worker.trainer.probes.model_copy import ModelCopy, norm
from worker.trainer.probes.stability_limits import StabilityLimits, stability_limits


class Sharpness:
    """The largest eigenvalue of the Hessian, of an adaptive optimizer that of P^(1/2) H P^(1/2) / lr, P its rates.

    Cost: a gradient, and 10 to 20 products of 1.5 gradients each.
    """

    def __init__(self, component: Any) -> None:
        self.rows: int = component.rows
        self.norms = component.batch_norm
        self.most: int = component.products
        self.tolerance: float = component.tolerance

    def measure(self, training: ProbedTraining) -> Measurement:
        """Sharpness, its limit, and the first over the second: above 1 the training leaves the valley it is in."""
        twin = ModelCopy(training, self.rows, self.norms, penalty=True)
        limits = stability_limits(training, twin)
        found, sharpness = self.largest(twin, limits)
        values = {"sharpness": sharpness}
        data = document(
            sharpness=sharpness,
            residual=found.high_residual,
            relative_residual=found.high_residual / abs(found.high) if found.high else 0.0,
            tolerance=self.tolerance,
            products=found.products,
            converged=found.high_residual <= self.tolerance * abs(found.high),
            preconditioned=limits is not None and limits.preconditioned,
            twin=twin.described(),
        )
        if limits is None:
            return Measurement(values, data | {"limit": None, "why": "the limit of this optimizer is not known"})
        ratio = sharpness / limits.limit
        values |= {"sharpness/limit": limits.limit, "sharpness/ratio": ratio}
        return Measurement(values, data | document(limit=limits.limit, ratio=ratio, form=limits.form, lr=limits.lr))

    def largest(self, twin: ModelCopy, limits: StabilityLimits | None) -> tuple[Extremes, float]:
        """The extremes of what was multiplied with, and the sharpness in the units of the limit."""
        start = start_of(twin)
        if limits is None or not limits.lr > 0:
            found = extremes(twin.product, start, self.most, high_tolerance=self.tolerance)
            return found, found.high
        roots = limits.shares.sqrt()
        found = extremes(lambda v: roots * twin.product(roots * v), start, self.most, high_tolerance=self.tolerance)
        return found, found.high * limits.limit


def start_of(twin: ModelCopy) -> Tensor:
    """Where Lanczos begins: mostly the gradient, which lies among the steep directions, and some of everything."""
    slope = twin.gradient()
    chance = random_start(twin.n, slope)
    size = norm(slope)
    return chance if not size else slope / size + 0.1 * chance / chance.norm()
