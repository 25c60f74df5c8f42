"""All eigenvalues of the Hessian, and the minimum ratio (Lee 2021 after Dauphin et al. 2014, arXiv:1406.2572)."""

from typing import Any

import torch
from torch import Tensor

from worker.trainer.probes.measurement import Measurement, ProbedTraining, document, not_applicable, rounded
from worker.trainer.probes.model_copy import ModelCopy

MOST = 2_500  # parameters: the matrix is their square, and its eigenvalues their cube
TOLERANCES = (0.0, 1e-6, 1e-3)  # of the largest eigenvalue
BINS = 80


class Spectrum:
    """Dense: one product a parameter. The minimum ratio is the share of eigenvalues above the tolerance.

    The share of negative ones means nothing without a tolerance, so it is counted at three: the same Hessian gave 27,
    22 and 9.5 % of negative ones. Cost: n products of 1.5 gradients.
    """

    def __init__(self, component: Any) -> None:
        self.rows: int = component.rows
        self.norms = component.batch_norm

    def measure(self, training: ProbedTraining) -> Measurement:
        """Every eigenvalue, counted and as a histogram."""
        twin = ModelCopy(training, self.rows, self.norms, penalty=True)
        if twin.n > MOST:
            return not_applicable(f"{twin.n} parameters; up to {MOST} have all their eigenvalues computed")
        values = torch.linalg.eigvalsh(twin.hessian())
        low, high = float(values[0]), float(values[-1])
        tolerance = TOLERANCES[1] * max(abs(low), abs(high))
        ratio = minimum_ratio(values, tolerance)
        counts, edges = torch.histogram(values.cpu().double(), BINS)
        data = document(
            minimum_ratio=ratio,
            tolerance=tolerance,
            negative={f"{t:g}": float((values < -t * max(abs(low), abs(high))).double().mean()) for t in TOLERANCES},
            lambda_min=low,
            lambda_max=high,
            trace=float(values.sum()),
            loss=twin.value(),
            eigenvalues=rounded(values),
            histogram={"counts": [int(count) for count in counts], "edges": rounded(edges)},
            twin=twin.described(),
        )
        said = {"spectrum/minimum_ratio": ratio, "spectrum/lambda_min": low, "spectrum/lambda_max": high}
        return Measurement(said, data)


def minimum_ratio(values: Tensor, tolerance: float) -> float:
    """#(lambda > tolerance) / n."""
    return float((values > tolerance).double().mean())
