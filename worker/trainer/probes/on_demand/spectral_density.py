"""Density of the Hessian's eigenvalues by stochastic Lanczos quadrature (Ghorbani et al. 2019, arXiv:1901.10159).

A random unit vector v weights each eigenvalue by its squared share in v. Lanczos gives the Gauss quadrature of that
measure: nodes are the Ritz values, weights the squared first entries of their small vectors (algorithm 1 there). The
mean over several v, each node blurred by a Gaussian, is the density; sums over nodes estimate traces with an error.
"""

import math

import torch
from torch import Tensor

from service.spec.probes import on_demand
from worker.trainer.probes.lanczos import lanczos, random_start
from worker.trainer.probes.measurement import Instrument, Measurement, ProbedTraining, as_json, rounded, standard_error
from worker.trainer.probes.model_copy import ModelCopy

GRID = 200  # points of the density
BLUR = 0.01  # of the width of the spectrum: the Gaussian's standard deviation


class SpectralDensity(Instrument[on_demand.SpectralDensity]):
    """The density; it says little about small shares, see `spectrum`. Cost: iterations x vectors x 1.5 gradients."""

    def measure(self, training: ProbedTraining) -> Measurement:
        """Return nodes and weights, the blurred density on a grid, and the trace with its error."""
        copy = ModelCopy.of(training, self.component, penalty=True)
        nodes, weights = quadrature(copy, self.component.iterations, self.component.vectors)
        traces = copy.n * (nodes * weights).sum(1)  # (vectors,)
        squares = copy.n * (nodes**2 * weights).sum(1)
        at, density, blur = blur_density(nodes, weights)
        data = as_json(
            trace=float(traces.mean()),
            trace_error=standard_error(traces),
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
            twin=copy.describe(),
        )
        return Measurement({"spectral_density/trace": float(traces.mean())}, data)


def quadrature(copy: ModelCopy, iterations: int, vectors: int) -> tuple[Tensor, Tensor]:
    """Return nodes (V, K) and weights (V, K), a row per random vector; each row of weights sums to 1."""
    rows = []
    for seed in range(vectors):
        found = lanczos(copy.product, random_start(copy.n, copy.theta(), seed), iterations, every=iterations)
        rows.append((found.values, found.small[0].double().cpu() ** 2))
    nodes, weights = zip(*rows, strict=True)
    return torch.stack(nodes), torch.stack(weights)


def blur_density(nodes: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, float]:
    """Return a grid (G,), the density on it (G,), and the blur used."""
    low, high = float(nodes.min()), float(nodes.max())
    blur = BLUR * (high - low or max(abs(high), 1.0))
    at = torch.linspace(low - 4 * blur, high + 4 * blur, GRID, dtype=torch.float64)
    distance = (at[:, None, None] - nodes[None]) / blur
    gaussians = torch.exp(-0.5 * distance**2) / (blur * math.sqrt(2 * math.pi))
    return at, (gaussians * weights).sum(2).mean(1), blur
