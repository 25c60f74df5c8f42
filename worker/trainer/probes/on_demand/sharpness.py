"""Sharpness against the optimizer's limit of stability (Cohen et al. 2021, arXiv:2103.00065; adaptive: 2207.14484)."""

from torch import Tensor

from service.spec.probes import on_demand
from worker.trainer.probes.lanczos import Extremes, extremes, random_start
from worker.trainer.probes.measurement import Instrument, Measurement, ProbedTraining, as_json
from worker.trainer.probes.model_copy import ModelCopy, norm
from worker.trainer.probes.stability_limits import StabilityLimits, stability_limits


class Sharpness(Instrument[on_demand.Sharpness]):
    """The largest eigenvalue of the Hessian; for an adaptive optimizer, of P^(1/2) H P^(1/2) / lr with its rates P.

    Cost: a gradient, and 10 to 20 products of 1.5 gradients each.
    """

    def measure(self, training: ProbedTraining) -> Measurement:
        """Return sharpness, its limit, and their ratio: above 1 the training leaves its valley."""
        copy = ModelCopy.of(training, self.component, penalty=True)
        limits = stability_limits(training, copy)
        found, sharpness = self.largest_eigenvalue(copy, limits)
        values = {"sharpness": sharpness}
        data = as_json(
            sharpness=sharpness,
            residual=found.high_residual,
            relative_residual=found.high_residual / abs(found.high) if found.high else 0.0,
            tolerance=self.component.tolerance,
            products=found.products,
            converged=found.high_residual <= self.component.tolerance * abs(found.high),
            preconditioned=limits is not None and limits.preconditioned,
            twin=copy.describe(),
        )
        if limits is None:
            return Measurement(values, data | {"limit": None, "why": "the limit of this optimizer is not known"})
        ratio = sharpness / limits.limit
        values |= {"sharpness/limit": limits.limit, "sharpness/ratio": ratio}
        return Measurement(values, data | as_json(limit=limits.limit, ratio=ratio, form=limits.form, lr=limits.lr))

    def largest_eigenvalue(self, copy: ModelCopy, limits: StabilityLimits | None) -> tuple[Extremes, float]:
        """Return the extremes of the (preconditioned) Hessian, and the sharpness in the units of the limit."""
        start, products, tolerance = start_of(copy), self.component.products, self.component.tolerance
        if limits is None or not limits.lr > 0:
            found = extremes(copy.product, start, products, high_tolerance=tolerance)
            return found, found.high
        roots = limits.shares.sqrt()
        found = extremes(lambda v: roots * copy.product(roots * v), start, products, high_tolerance=tolerance)
        return found, found.high * limits.limit


def start_of(copy: ModelCopy) -> Tensor:
    """Return a start for Lanczos: mostly the gradient, which lies among steep directions, and some of everything."""
    slope = copy.gradient()
    noise = random_start(copy.n, slope)
    size = norm(slope)
    return noise if not size else slope / size + 0.1 * noise / noise.norm()
