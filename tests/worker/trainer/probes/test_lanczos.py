"""Lanczos against matrices whose eigenvalues are known."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from worker.trainer.probes.lanczos import extremes, lanczos, random_start

D = torch.float64


def matrix(eigenvalues: Tensor) -> Tensor:
    """A symmetric one with these, in a random basis."""
    n = len(eigenvalues)
    basis, _ = torch.linalg.qr(torch.randn(n, n, dtype=D, generator=torch.Generator().manual_seed(3)))
    return basis @ torch.diag(eigenvalues) @ basis.T


def start(n: int) -> Tensor:
    return random_start(n, torch.empty(0, dtype=D))


def product(a: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda v: a @ v


def test_as_many_products_as_rows_give_every_eigenvalue_and_vector() -> None:
    eigenvalues = torch.linspace(-1, 5, 30, dtype=D)
    a = matrix(eigenvalues)
    found = lanczos(product(a), start(30), 30)
    assert torch.allclose(found.values, eigenvalues, atol=1e-12)
    for i in (0, 7, 29):
        assert torch.allclose(a @ found.vector(i), eigenvalues[i] * found.vector(i), atol=1e-10)


def test_repeated_eigenvalues_are_all_found_because_an_exhausted_space_is_left() -> None:
    eigenvalues = torch.tensor([-2.0] * 3 + [0.0] * 10 + [1.0] * 4, dtype=D)
    found = lanczos(product(matrix(eigenvalues)), start(17), 17)
    assert torch.allclose(found.values, eigenvalues, atol=1e-10)


def test_a_matrix_of_zeros_and_a_single_number_are_matrices_too() -> None:
    assert torch.equal(lanczos(product(torch.zeros(4, 4, dtype=D)), start(4), 4).values, torch.zeros(4, dtype=D))
    assert lanczos(product(torch.full((1, 1), -3.0, dtype=D)), start(1), 5).values.tolist() == [-3.0]


@pytest.mark.parametrize("products", [5, 15, 40])
def test_residuals_bound_the_distance_to_an_eigenvalue(products: int) -> None:
    eigenvalues = torch.cat((torch.linspace(-0.1, 1, 195, dtype=D), torch.tensor([2.0, 3, 10, 30, 31], dtype=D)))
    a = matrix(eigenvalues)
    found = lanczos(product(a), start(200), products)
    for i in range(products):
        distance = float((eigenvalues - found.values[i]).abs().min())
        true = float((a @ found.vector(i) - found.values[i] * found.vector(i)).norm())
        assert distance <= float(found.residuals[i]) + 1e-11
        assert true == pytest.approx(float(found.residuals[i]), abs=1e-10)


def test_the_basis_stays_orthogonal_where_one_without_care_loses_it() -> None:
    small = torch.rand(298, dtype=D, generator=torch.Generator().manual_seed(0))
    eigenvalues = torch.cat((small, torch.tensor([50.0, 1e4], dtype=D)))
    a = matrix(eigenvalues)
    found = lanczos(product(a), start(300), 120)
    identity = torch.eye(120, dtype=D)
    assert float((found.basis @ found.basis.T - identity).abs().max()) < 1e-13
    careless, before, beta = [start(300) / start(300).norm()], torch.zeros(300, dtype=D), 0.0
    for _ in range(119):  # the three-term recurrence alone
        w = a @ careless[-1] - beta * before
        w -= (w @ careless[-1]) * careless[-1]
        before, beta = careless[-1], float(w.norm())
        careless.append(w / beta)
    basis = torch.stack(careless)
    assert float((basis @ basis.T - identity).abs().max()) > 0.5


def test_both_ends_are_searched_until_each_is_good_enough_and_no_further() -> None:
    eigenvalues = torch.cat((torch.linspace(0, 1, 396, dtype=D), torch.tensor([-0.02, 5, 8, 20], dtype=D)))
    a = matrix(eigenvalues)
    high_only = extremes(product(a), start(400), 400)
    assert high_only.high == pytest.approx(20, rel=1e-8)
    assert high_only.products < 15
    assert abs(high_only.low + 0.02) > 1e-3  # the other end is not there yet
    both = extremes(product(a), start(400), 400, least=20, low_tolerance=0.1)
    assert both.low == pytest.approx(-0.02, rel=0.01)
    assert both.low_residual <= 0.1 * 0.02
    assert 20 <= both.products < 300
    assert extremes(product(a), start(400), 12, low_tolerance=1e-9).products == 12
