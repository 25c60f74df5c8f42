"""Critical sharpness: how far the next update can go before the loss rises (Kalra et al. 2026, arXiv:2601.16979)."""

import math
from collections.abc import Callable

from service.spec.probes import on_demand
from worker.trainer.probes.measurement import Instrument, Measurement, ProbedTraining, as_json
from worker.trainer.probes.model_copy import ModelCopy, norm
from worker.trainer.probes.scratch_training import next_update

MAX_DOUBLINGS = 60  # or halvings, until the search gives up


class CriticalSharpness(Instrument[on_demand.CriticalSharpness]):
    """2 / eta_c, where eta_c is the smallest rate along the optimizer's next update at which the loss rises.

    It needs forward passes only, so it works where no second derivative exists. On a quadratic, along the gradient, it
    is g'Hg / g'g, at most lambda_max. Cost: an update, and 5 to 15 forward passes of 0.4 gradients.
    """

    def measure(self, training: ProbedTraining) -> Measurement:
        """Measure it, and the current rate over eta_c: above 1 the next update raises the loss."""
        copy = ModelCopy.of(training, self.component)
        update, lr = next_update(training, copy)
        here, size = copy.theta(), norm(update)
        if not (size > 0 and math.isfinite(size) and lr > 0):
            return Measurement({}, as_json(found=False, why=f"the next update has norm {size:g}", twin=copy.describe()))
        now, tried = copy.value(), list[tuple[float, float]]()

        def rises(factor: float) -> bool:
            tried.append((factor, copy.value(here + factor * update)))
            return not tried[-1][1] <= now  # NaN counts as a rise

        factor, why = find_critical_factor(rises, self.component.tolerance)
        data = as_json(
            lr=lr, update_norm=size, loss=now, tried=tried, tolerance=self.component.tolerance, twin=copy.describe()
        )
        if factor is None:
            return Measurement({}, data | {"found": False, "why": why})
        values = {"critical_sharpness": 2 / (lr * factor), "critical_sharpness/ratio": 1 / factor}
        return Measurement(
            values,
            data | as_json(found=True, eta=lr * factor, **{"2/eta": 2 / (lr * factor), "ratio": 1 / factor}),
        )


def find_critical_factor(rises: Callable[[float], bool], tolerance: float) -> tuple[float | None, str]:
    """Find the smallest factor that rises, by doubling or halving from 1, then bisecting; or None, and why."""
    low = high = 1.0
    if rises(1.0):
        for _ in range(MAX_DOUBLINGS):
            high, low = low, low / 2
            if not rises(low):
                break
        else:
            return None, "not a direction of descent: the loss rises at every length along it"
    else:
        for _ in range(MAX_DOUBLINGS):
            low, high = high, high * 2
            if rises(high):
                break
        else:
            return None, "the loss does not rise however far the update is followed"
    while high / low - 1 > tolerance:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if rises(middle) else (middle, high)
    return math.sqrt(low * high), ""
