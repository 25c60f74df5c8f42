"""Density of the Hessian's eigenvalues by stochastic Lanczos quadrature (Ghorbani et al. 2019, arXiv:1901.10159).

A random unit vector v weighs each eigenvalue by its squared share in v. Lanczos gives the Gauss quadrature of that
measure: nodes are the Ritz values, weights the squared first entries of their small vectors (algorithm 1 there). The
mean over several v, each node blurred by a Gaussian, is the density; sums over nodes estimate traces with an error.
"""

import math
from typing import Any

import torch
from torch import Tensor

from worker.trainer.probes.lanczos import lanczos, random_start
from worker.trainer.probes.measurement import Measurement, ProbedTraining, document, rounded
from worker.trainer.probes.model_copy import ModelCopy

GRID = 200  # points of the drawn density
BLUR = 0.01  # of the width of the spectrum: the Gaussian's standard deviation


class SpectralDensity:
    """Steps times vectors products of 1.5 gradients. It says little of small shares: for signs there is `spectrum`."""

    def __init__(self, component: Any) -> None:
        self.rows: int = component.rows
        self.norms = component.batch_norm
        self.iterations: int = component.iterations
        self.vectors: int = component.vectors

    def measure(self, training: ProbedTraining) -> Measurement:
        """Nodes and weights, the blurred density on a grid, the trace with its error."""
        twin = ModelCopy(training, self.rows, self.norms, penalty=True)
        nodes, weights = quadrature(twin, self.iterations, self.vectors)
        traces = twin.n * (nodes * weights).sum(1)  # (vectors,)
        squares = twin.n * (nodes**2 * weights).sum(1)
        at, density, blur = blurred(nodes, weights)
        data = document(
            trace=float(traces.mean()),
            trace_error=_error(traces),
            frobenius=math.sqrt(max(0.0, float(squares.mean()))),
            lowest=float(nodes.min()),
            highest=float(nodes.max()),
            grid=rounded(at),
            density=rounded(density),
            blur=blur,
            nodes=[rounded(row) for row in nodes[:20]],
            weights=[rounded(row) for row in weights[:20]],
            iterations=nodes.shape[1],
            vectors=nodes.shape[0],
            twin=twin.described(),
        )
        return Measurement({"spectral_density/trace": float(traces.mean())}, data)


def quadrature(twin: ModelCopy, iterations: int, vectors: int) -> tuple[Tensor, Tensor]:
    """Nodes (V, K) and weights (V, K), a row a random vector; each row of weights adds up to 1."""
    rows = []
    for seed in range(vectors):
        found = lanczos(twin.product, random_start(twin.n, twin.theta(), seed), iterations, every=iterations)
        rows.append((found.values, found.small[0].double().cpu() ** 2))
    nodes, weights = zip(*rows, strict=True)
    return torch.stack(nodes), torch.stack(weights)


def blurred(nodes: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, float]:
    """A grid (G,), the density on it (G,), and the blur that was used."""
    low, high = float(nodes.min()), float(nodes.max())
    blur = BLUR * (high - low or max(abs(high), 1.0))
    at = torch.linspace(low - 4 * blur, high + 4 * blur, GRID, dtype=torch.float64)
    away = (at[:, None, None] - nodes[None]) / blur
    bells = torch.exp(-0.5 * away**2) / (blur * math.sqrt(2 * math.pi))
    return at, (bells * weights).sum(2).mean(1), blur


def _error(values: Tensor) -> float | None:
    return float(values.std() / len(values) ** 0.5) if len(values) > 1 else None
