"""The Gaussian process: scikit-learn's is the referee of the posterior, of the likelihood and of its gradient."""

import math
import warnings

import numpy as np
import pytest

from service.analysis.arrays import Values
from service.analysis.expected_improvement import Axis, Encoding, log_improvement, propose, warped
from service.analysis.expected_improvement import fitted as fitted_for
from service.analysis.gaussian_process import (
    LENGTH_PRIOR,
    NOISE_PRIOR,
    SIGNAL_PRIOR,
    Hyperparameters,
    condition,
    fit,
    log_likelihood,
)

GROUPS = np.arange(3)


def points(n: int, seed: int = 0) -> tuple[Values, Values]:
    generator = np.random.default_rng(seed)
    x = generator.random((n, 3))
    return x, np.sin(5 * x[:, 0]) + x[:, 1] ** 2 + 0.05 * generator.normal(size=n)


def referee(found: Hyperparameters, x: Values, y: Values) -> object:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    kernel = ConstantKernel(found.signal) * Matern(found.lengths, nu=2.5) + WhiteKernel(found.noise)
    return GaussianProcessRegressor(kernel, optimizer=None, alpha=0.0).fit(x, y)


@pytest.mark.parametrize("seed", range(5))
def test_posterior_and_likelihood_are_scikit_learns(seed: int) -> None:
    generator = np.random.default_rng(seed)
    x, y = points(25, seed)
    found = Hyperparameters(generator.uniform(0.1, 2.0, 3), generator.uniform(0.5, 2.0), generator.uniform(0.001, 0.1))
    theirs = referee(found, x, y)
    new = generator.random((40, 3))
    mean, deviation = condition(x, y, GROUPS, found).posterior(new)
    their_mean, their_deviation = theirs.predict(new, return_std=True)  # of a noisy value
    assert mean == pytest.approx(their_mean, abs=1e-8)
    assert deviation**2 + found.noise == pytest.approx(their_deviation**2, abs=1e-8)
    value, gradient = log_likelihood(x, y, GROUPS, found)
    theta = theirs.kernel_.theta  # signal, lengths, noise
    their_value, their_gradient = theirs.log_marginal_likelihood(theta, eval_gradient=True)
    assert value == pytest.approx(their_value, abs=1e-8)
    assert gradient == pytest.approx([*their_gradient[1:4], their_gradient[0], their_gradient[4]], abs=1e-6)


def test_the_fit_finds_which_columns_matter() -> None:
    x, y = points(60)
    found = fit(x, (y - y.mean()) / y.std(), GROUPS)
    assert found.lengths[2] > 2 * max(found.lengths[0], found.lengths[1])
    assert 1e-4 < found.noise < 0.1


def test_no_hyperparameters_are_more_probable_than_the_fitted_ones() -> None:
    """Neither a hundred drawn from the priors nor the maximum of the likelihood that scikit-learn finds."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    x, y = points(60)
    y = (y - y.mean()) / y.std()
    kernel = ConstantKernel(1.0) * Matern([0.5] * 3, nu=2.5) + WhiteKernel(0.01)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a length scale at its bound
        theirs = GaussianProcessRegressor(kernel, n_restarts_optimizer=5, random_state=0).fit(x, y).kernel_.theta
    means = np.array([LENGTH_PRIOR[0]] * 3 + [SIGNAL_PRIOR[0], NOISE_PRIOR[0]])
    deviations = np.array([LENGTH_PRIOR[1]] * 3 + [SIGNAL_PRIOR[1], NOISE_PRIOR[1]])

    def density(logs: Values) -> float:
        found = Hyperparameters(np.exp(logs[:3]), float(np.exp(logs[3])), float(np.exp(logs[4])))
        return log_likelihood(x, y, GROUPS, found)[0] - 0.5 * float((((logs - means) / deviations) ** 2).sum())

    ours = fit(x, y, GROUPS)
    best = density(np.log([*ours.lengths, ours.signal, ours.noise]))
    drawn = np.random.default_rng(0).normal(means, deviations, size=(100, 5))
    drawn[:, 4] = np.maximum(drawn[:, 4], -12.0)
    assert all(density(logs) < best for logs in [*drawn, np.array([*theirs[1:4], theirs[0], theirs[4]])])


def test_columns_of_one_group_share_a_length_scale() -> None:
    x, y = points(20)
    found = fit(x, y, np.array([0, 1, 1]))
    assert found.lengths.shape == (2,)


def test_expected_improvement_is_the_integral_also_where_it_underflows() -> None:
    from scipy.integrate import quad

    for z in (-8.0, -3.0, -1.001, -1.0, -0.999, 0.0, 2.5):
        integral, _ = quad(lambda s, z=z: s * math.exp(-s * s / 2 + z * s), 0.0, 40.0, epsabs=0.0, limit=200)
        expected = math.log(integral / math.sqrt(2 * math.pi)) - z * z / 2
        assert float(log_improvement(np.array([z]))[0]) == pytest.approx(expected, rel=1e-9)
    far = log_improvement(np.array([-40.0, -999.0, -1001.0, -1e8]))
    assert np.isfinite(far).all()
    assert (np.diff(far) < 0).all()


def test_losses_of_any_size_are_told_to_the_process_in_a_few_deviations() -> None:
    losses = np.array([0.1, 0.2, 0.3, 5.0, 1e9, math.inf, 0.15, math.inf])
    scores = warped(losses)
    assert np.isfinite(scores).all()
    assert np.abs(scores).max() < 4
    assert scores.mean() == pytest.approx(0.0, abs=1e-12)
    finite = np.argsort(losses, kind="stable")
    assert (np.diff(scores[finite]) >= 0).all()
    assert scores[5] == scores[7], "one diverged trial is as bad as another"
    assert not warped(np.array([math.inf] * 9)).any()
    assert not warped(np.array([1.0] * 9)).any()


def test_an_axis_without_its_option_counts_for_nothing() -> None:
    choice = Axis((0.25, 0.75), unordered=True)
    encoding = Encoding((choice, Axis(parent=0, option=1)))
    made = encoding.columns(np.array([[0.25, 0.1], [0.25, 0.9], [0.75, 0.1], [0.75, 0.9]]))
    assert (made[0] == made[1]).all()
    assert (made[2] != made[3]).any()
    assert encoding.groups.tolist() == [0, 0, 1]


def test_coordinates_snap_to_the_positions_that_exist() -> None:
    encoding = Encoding((Axis((0.25, 0.75)), Axis()))
    assert encoding.snapped(np.array([[0.4, 0.4], [0.6, 0.6]])).tolist() == [[0.25, 0.4], [0.75, 0.6]]


def test_the_minimum_of_a_smooth_function_is_found_in_few_points() -> None:
    """Branin, whose minimum is 0.397887, in 25 points; random points come to about 1.5."""

    def branin(u: list[float]) -> float:
        a, b = 15 * u[0] - 5, 15 * u[1]
        return (
            (b - 5.1 / (4 * math.pi**2) * a**2 + 5 / math.pi * a - 6) ** 2
            + 10 * (1 - 1 / (8 * math.pi)) * math.cos(a)
            + 10
        )

    encoding = Encoding((Axis(), Axis()))
    for seed in range(3):
        units = [[float(v) for v in row] for row in np.random.default_rng(seed).random((8, 2))]
        losses = [branin(u) for u in units]
        for step in range(17):
            found = fitted_for(encoding, units, losses)
            units.append(propose(encoding, units, losses, [], found, step))
            losses.append(branin(units[-1]))
        assert min(losses) < 0.45


def test_open_points_are_left_alone() -> None:
    encoding = Encoding((Axis(),))
    units = [[0.0], [0.3], [0.6], [1.0]]
    losses = [(u[0] - 0.45) ** 2 for u in units]
    found = fitted_for(encoding, units, losses)
    first = propose(encoding, units, losses, [], found, 0)
    second = propose(encoding, units, losses, [first], found, 0)
    assert abs(first[0] - second[0]) > 0.01
