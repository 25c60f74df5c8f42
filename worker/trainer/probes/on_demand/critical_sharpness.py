"""Critical sharpness: how far the next update may go before the loss rises (Kalra et al. 2026, arXiv:2601.16979)."""

import math
from collections.abc import Callable
from typing import Any

from worker.trainer.probes.measurement import Measurement, ProbedTraining, document
from worker.trainer.probes.model_copy import ModelCopy, norm
from worker.trainer.probes.scratch_training import next_update

FARTHEST = 60  # doublings or halvings until the search gives up


class CriticalSharpness:
    """2 / eta_c, eta_c the least rate along the optimizer's own next update at which the loss exceeds today's.

    Needs forward passes only, so it works where no second derivative exists. On a quadratic, along the gradient, it is
    g'Hg / g'g, at most lambda_max. Cost: an update, and 5 to 15 forward passes of 0.4 gradients.
    """

    def __init__(self, component: Any) -> None:
        self.rows: int = component.rows
        self.norms = component.batch_norm
        self.tolerance: float = component.tolerance

    def measure(self, training: ProbedTraining) -> Measurement:
        """The sharpness, and the rate in use over eta_c: above 1 the next update raises the loss."""
        twin = ModelCopy(training, self.rows, self.norms)
        update, lr = next_update(training, twin)
        here, size = twin.theta(), norm(update)
        if not (size > 0 and math.isfinite(size) and lr > 0):
            return Measurement(
                {}, document(found=False, why=f"the next update has the norm {size:g}", twin=twin.described())
            )
        now, tried = twin.value(), list[tuple[float, float]]()

        def rises(factor: float) -> bool:
            tried.append((factor, twin.value(here + factor * update)))
            return not tried[-1][1] <= now  # not a number counts as a rise

        factor, why = critical(rises, self.tolerance)
        data = document(lr=lr, update_norm=size, loss=now, tried=tried, tolerance=self.tolerance, twin=twin.described())
        if factor is None:
            return Measurement({}, data | {"found": False, "why": why})
        values = {"critical_sharpness": 2 / (lr * factor), "critical_sharpness/ratio": 1 / factor}
        return Measurement(
            values, data | document(found=True, eta=lr * factor, **{"2/eta": 2 / (lr * factor), "ratio": 1 / factor})
        )


def critical(rises: Callable[[float], bool], tolerance: float) -> tuple[float | None, str]:
    """The least factor that rises, by doubling or halving from 1 and then bisecting; None, and why, without one."""
    low = high = 1.0
    if rises(1.0):
        for _ in range(FARTHEST):
            high, low = low, low / 2
            if not rises(low):
                break
        else:
            return None, "not a direction of descent: the loss rises at every length along it"
    else:
        for _ in range(FARTHEST):
            low, high = high, high * 2
            if rises(high):
                break
        else:
            return None, "the loss does not rise however far the update is followed"
    while high / low - 1 > tolerance:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if rises(middle) else (middle, high)
    return math.sqrt(low * high), ""
