"""All eigenvalues of the Hessian, and the minimum ratio (Lee 2021 after Dauphin et al. 2014, arXiv:1406.2572)."""

import torch
from torch import Tensor

from service.spec.probes import on_demand
from worker.trainer.probes.measurement import (
    Instrument,
    Measurement,
    ProbedTraining,
    as_json,
    not_applicable,
    rounded,
)
from worker.trainer.probes.model_copy import ModelCopy

MAX_PARAMETERS = 2_500  # parameters: the matrix is their square, and its eigenvalues their cube
TOLERANCES = (0.0, 1e-6, 1e-3)  # of the largest eigenvalue
BINS = 80


class Spectrum(Instrument[on_demand.Spectrum]):
    """The dense spectrum. The minimum ratio is the share of eigenvalues above the tolerance.

    The share of negative eigenvalues depends on the tolerance, so it is counted at three: one Hessian gave 27, 22 and
    9.5 %. Cost: n products of 1.5 gradients.
    """

    def measure(self, training: ProbedTraining) -> Measurement:
        """Return every eigenvalue, counts and a histogram."""
        copy = ModelCopy.of(training, self.component, penalty=True)
        if copy.n > MAX_PARAMETERS:
            return not_applicable(f"{copy.n} parameters; all eigenvalues are computed up to {MAX_PARAMETERS}")
        values = torch.linalg.eigvalsh(copy.hessian())
        low, high = float(values[0]), float(values[-1])
        tolerance = TOLERANCES[1] * max(abs(low), abs(high))
        ratio = minimum_ratio(values, tolerance)
        counts, edges = torch.histogram(values.cpu().double(), BINS)
        data = as_json(
            minimum_ratio=ratio,
            tolerance=tolerance,
            negative={f"{t:g}": float((values < -t * max(abs(low), abs(high))).double().mean()) for t in TOLERANCES},
            lambda_min=low,
            lambda_max=high,
            trace=float(values.sum()),
            loss=copy.value(),
            eigenvalues=rounded(values),
            histogram={"counts": [int(count) for count in counts], "edges": rounded(edges)},
            twin=copy.describe(),
        )
        said = {"spectrum/minimum_ratio": ratio, "spectrum/lambda_min": low, "spectrum/lambda_max": high}
        return Measurement(said, data)


def minimum_ratio(values: Tensor, tolerance: float) -> float:
    """Return #(lambda > tolerance) / n."""
    return float((values > tolerance).double().mean())
