"""Extreme eigenpairs of a symmetric matrix that is known only by its products (Lanczos 1950).

Each basis vector is orthogonalised against all others, twice: otherwise copies of converged pairs appear and the small
end is never reached (Parlett 1998, section 13.3). The residual of a Ritz pair, beta_k |last entry of its small vector|,
bounds the distance to the nearest eigenvalue; the error of the eigenvalue is about its square over the gap.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]
MAX_BASIS_BYTES = 2**30


class Ritz(NamedTuple):
    """Ritz pairs of k products: values ascending (k,), each with a unit vector (n,) and a residual."""

    values: Tensor
    residuals: Tensor
    small: Tensor  # (k, k), the vectors in the basis, one a column
    basis: Tensor  # (k, n)

    @property
    def products(self) -> int:
        """The number of products used."""
        return len(self.values)

    def vector(self, i: int) -> Tensor:
        """Return the unit vector (n,) of values[i]."""
        found = self.small[:, i] @ self.basis
        return torch.div(found, found.norm())


def never(_: Ritz) -> bool:
    """Continue up to the limit."""
    return False


def lanczos(product: Product, start: Tensor, most: int, enough: Callable[[Ritz], bool] = never, every: int = 1) -> Ritz:
    """Make up to `most` products from the vector `start` (n,); stop once `enough`, asked every `every` products."""
    n = len(start)
    most = max(1, min(most, n, MAX_BASIS_BYTES // (n * start.element_size())))
    basis, alphas, betas = torch.empty(most, n, dtype=start.dtype, device=start.device), list[float](), list[float]()
    basis[0] = start / start.norm()
    for k in range(1, most + 1):
        w = product(basis[k - 1])
        alphas.append(float(w @ basis[k - 1]))
        for _ in range(2):
            w = w - basis[:k].T @ (basis[:k] @ w)
        beta = float(w.norm())
        scale = max(map(abs, alphas + betas))
        ends = beta <= 100 * torch.finfo(start.dtype).eps * scale * n**0.5
        betas.append(0.0 if ends else beta)
        if k == most or k % every == 0:
            found = _ritz(alphas, betas, basis[:k])
            if k == most or enough(found):
                return found
        basis[k] = _restart(basis[:k]) if ends else w / beta
    raise AssertionError("most is at least 1")


def _ritz(alphas: list[float], betas: list[float], basis: Tensor) -> Ritz:
    diagonal = torch.tensor(alphas, dtype=torch.float64)
    beside = torch.tensor(betas[:-1], dtype=torch.float64)
    values, small = torch.linalg.eigh(torch.diag(diagonal) + torch.diag(beside, 1) + torch.diag(beside, -1))
    residuals = betas[-1] * small[-1].abs()
    return Ritz(values, residuals, small.to(basis.device, basis.dtype), basis)


def _restart(basis: Tensor) -> Tensor:
    """Return a unit vector outside an invariant subspace, to reach the rest of the spectrum."""
    generator = torch.Generator().manual_seed(len(basis))
    w = torch.randn(basis.shape[1], generator=generator, dtype=torch.float64).to(basis)
    for _ in range(2):
        w = w - basis.T @ (basis @ w)
    return torch.div(w, w.norm())


def random_start(n: int, like: Tensor, seed: int = 0) -> Tensor:
    """Return a normal vector (n,) from a generator of its own."""
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(like)


class Extremes(NamedTuple):
    """Both ends of a spectrum, and the products they took."""

    low: float
    low_residual: float
    low_vector: Tensor
    high: float
    high_residual: float
    high_vector: Tensor
    products: int


def extremes(
    product: Product,
    start: Tensor,
    most: int,
    least: int = 1,
    high_tolerance: float = 1e-4,
    low_tolerance: float | None = None,
) -> Extremes:
    """Make at least `least` products, until each end's residual is below its tolerance (None: any) times its size."""

    def enough(found: Ritz) -> bool:
        if found.products < least:
            return False
        high = float(found.residuals[-1]) <= high_tolerance * abs(float(found.values[-1]))
        if low_tolerance is None:
            return high
        return high and float(found.residuals[0]) <= low_tolerance * abs(float(found.values[0]))

    found = lanczos(product, start, most, enough)
    ends = [(float(found.values[i]), float(found.residuals[i]), found.vector(i)) for i in (0, -1)]
    return Extremes(*ends[0], *ends[1], found.products)
