"""Probes that compute on a copy: at their own interval during training, or on demand at a kept checkpoint."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Count, under
from service.spec.layout import Parameter
from service.spec.probes.base import ModelCopyProbe, OnDemandProbe
from service.spec.validation_errors import closest, escape_key

Products = Annotated[int, Field(ge=2, le=10_000, description="maximum number of Hessian-vector products")]
Tolerance = Annotated[float, Field(gt=0, lt=1)]
Reach = Annotated[float, Field(gt=0, le=1000)]
Vector = Annotated[
    dict[
        Annotated[str, Field(min_length=1, max_length=200)],
        Annotated[tuple[Annotated[float, Field(ge=-1e6, le=1e6)], ...], Field(min_length=1, max_length=10_000)],
    ],
    Field(min_length=1, max_length=50),
]
Positions = Annotated[tuple[Annotated[float, Field(ge=-1e6, le=1e6)], ...] | None, Field(min_length=2, max_length=201)]
Points = Annotated[int, Field(ge=3, le=201, description="points along each direction")]
MAX_GRID = 101
GridPoints = Annotated[int, Field(ge=3, le=MAX_GRID, description="points along each axis of the grid")]


class Sharpness(ModelCopyProbe):
    """Sharpness: the largest eigenvalue of the Hessian, against the stability limit of the learning rate."""

    target = "worker.trainer.probes.on_demand.sharpness:Sharpness"
    formula = (
        "lambda_max(H) against 2/lr, 2(1+mu)/lr, 2(1+mu)/((1+2mu) lr) (Nesterov); "
        "of Adam lambda_max(D^-1/2 H D^-1/2) against (2+2 beta1)/((1-beta1) lr), D = sqrt(v_hat) + eps"
    )
    paper = "Cohen et al. 2021, arXiv:2103.00065; 2022, arXiv:2207.14484"
    cost = 20
    costs = "10 to 20 Hessian-vector products"
    kind: Literal["sharpness"] = "sharpness"
    products: Products = 40
    tolerance: Tolerance = Field(1e-4, description="relative residual at which the eigenvalue counts as converged")


class CriticalSharpness(ModelCopyProbe):
    """Sharpness from forward passes: 2 over the smallest step along the update that raises the loss."""

    target = "worker.trainer.probes.on_demand.critical_sharpness:CriticalSharpness"
    formula = "2 / eta_c"
    paper = "Kalra et al. 2026, arXiv:2601.16979"
    cost = 5
    costs = "one update and 5 to 15 forward passes"
    kind: Literal["critical_sharpness"] = "critical_sharpness"
    tolerance: Tolerance = Field(0.02, description="relative precision of eta_c")


class NoiseScale(ModelCopyProbe):
    """Gradient noise scale: the batch size at which gradient noise and signal are equal."""

    target = "worker.trainer.probes.on_demand.noise_scale:NoiseScale"
    formula = "tr(Sigma) / |G|^2"
    paper = "McCandlish et al. 2018, arXiv:1812.06162, appendix A.1"
    cost = 4
    costs = "one gradient a draw"
    kind: Literal["noise_scale"] = "noise_scale"
    pieces: Annotated[int, Field(ge=2, le=1024)] = Field(
        32, description="parts that the rows of each draw are split into"
    )
    draws: Annotated[int, Field(ge=1, le=100)] = Field(
        4, description="number of random draws of rows; 1 if a draw has all rows"
    )


class CriticalPoint(ModelCopyProbe):
    """Critical point analysis: minimum, saddle or flat region, with the escape direction and the loss drop along it."""

    target = "worker.trainer.probes.on_demand.critical_point:CriticalPoint"
    formula = "|g|, lambda_min, lambda_max, L(theta + a v_min) - L(theta)"
    paper = "Dauphin et al. 2014, arXiv:1406.2572"
    cost = 150
    costs = "two gradients and an update; near a critical point 60 to 200 products of 1.5 and 30 forward passes"
    kind: Literal["critical_point"] = "critical_point"
    products: Products = 200
    anyway: bool = Field(
        False, description="compute the curvature even if the gradient is too large for a critical point"
    )


class Spectrum(ModelCopyProbe):
    """All eigenvalues of the Hessian, for small models."""

    target = "worker.trainer.probes.on_demand.spectrum:Spectrum"
    formula = "eig(H); minimum ratio = #(lambda > 1e-6 lambda_max) / n"
    paper = "Sagun et al. 2017, arXiv:1706.04454"
    cost = 1000
    costs = "one Hessian-vector product a parameter"
    kind: Literal["spectrum"] = "spectrum"


class SpectralDensity(ModelCopyProbe):
    """Spectral density of the Hessian, by stochastic Lanczos quadrature."""

    target = "worker.trainer.probes.on_demand.spectral_density:SpectralDensity"
    formula = "sum_i w_i N(lambda_i, sigma^2)"
    paper = "Ghorbani et al. 2019, arXiv:1901.10159"
    cost = 300
    costs = "iterations times vectors Hessian-vector products"
    kind: Literal["spectral_density"] = "spectral_density"
    iterations: Annotated[int, Field(ge=2, le=1000, description="Lanczos iterations per vector")] = 30
    vectors: Annotated[int, Field(ge=1, le=100, description="number of random vectors")] = 10


class Slice(ModelCopyProbe):
    """Loss along one direction from the current weights."""

    target = "worker.trainer.probes.on_demand.slice:Slice"
    formula = "L(theta + a d)"
    paper = "Goodfellow et al. 2015, arXiv:1412.6544"
    cost = 16
    costs = "a forward pass a point, and up to 100 products where the direction is one of curvature"
    kind: Literal["slice"] = "slice"
    points: Points = 41
    direction: Literal["gradient", "update", "escape", "sharpest", "initial", "random"] = Field(
        "gradient",
        description="escape: lowest curvature; sharpest: highest curvature; initial: from the initial weights",
    )
    reach: Reach | None = Field(
        None, description="distance to each side, in updates or in weight norms; null: chosen by direction"
    )
    along: Vector | None = Field(
        None,
        description="a direction of your own instead: numbers by parameter, row by row; unnamed parameters do not move",
    )
    at: Positions = Field(None, description="positions on the direction instead of points and reach")

    def layout_problems(self, layout: Sequence[Parameter]) -> Iterator[Problem]:
        """Yield where the own direction does not fit the model."""
        if self.along is not None:
            yield from under("/along", _misfits(self.along, layout))


class Plane(ModelCopyProbe):
    """Loss surface on a filter-normalised plane. A valley in the plane need not be one in the full space."""

    target = "worker.trainer.probes.on_demand.plane:Plane"
    formula = "L(theta + a d_1 + b d_2), |d_f| = |theta_f|"
    paper = "Li et al. 2018, arXiv:1712.09913, section 4"
    cost = 250
    costs = "a forward pass a point of the grid"
    kind: Literal["plane"] = "plane"
    points: GridPoints = 25
    directions: Literal["random", "curvature"] = Field("random", description="how the two directions are chosen")
    reach: Reach = Field(1.0, description="distance to each side, in weight norms")
    chance: Annotated[int, Field(ge=0, le=10**6)] = Field(0, description="random seed of the directions")
    along: tuple[Vector, Vector] | None = Field(
        None,
        description="two directions of your own instead, across and up: numbers by parameter, row by row; unnamed "
        "parameters do not move",
    )
    x: Positions = Field(None, description="positions across instead of points and reach")
    y: Positions = Field(None, description="positions up instead of points and reach")

    def problems(self) -> Iterator[Problem]:
        """Yield axes with more positions than a grid may have."""
        yield from super().problems()
        for name, positions in (("/x", self.x), ("/y", self.y)):
            if positions is not None and len(positions) > MAX_GRID:
                yield Problem(name, "too_long", f"at most {MAX_GRID} positions along an axis of a grid.", MAX_GRID)

    def layout_problems(self, layout: Sequence[Parameter]) -> Iterator[Problem]:
        """Yield where the own directions do not fit the model."""
        for at, vector in enumerate(self.along or ()):
            yield from under(f"/along/{at}", _misfits(vector, layout))


def _misfits(vector: Mapping[str, Sequence[float]], layout: Sequence[Parameter]) -> Iterator[Problem]:
    """Yield parameters that the model lacks, and those of another size."""
    known = {parameter.name: parameter for parameter in layout}
    for name, numbers in vector.items():
        pointer = f"/{escape_key(name)}"
        if (parameter := known.get(name)) is None:
            detail = f"the model has no such parameter; its first is {layout[0].name}."
            yield Problem(pointer, "unknown_parameter", detail, None, closest(name, known))
        elif len(numbers) != parameter.count:
            detail = f"{len(numbers)} numbers for {parameter.count} of shape {parameter.shape}: give as many."
            yield Problem(pointer, "contradiction", detail, parameter.count)


class Trajectory(ModelCopyProbe):
    """Training trajectory: the kept checkpoints on their first two principal components, with the loss surface."""

    target = "worker.trainer.probes.on_demand.trajectory:Trajectory"
    formula = "PCA(theta_t - theta_T)"
    paper = "Li et al. 2018, arXiv:1712.09913, section 7"
    cost = 250
    costs = "a forward pass a point of the grid"
    kind: Literal["trajectory"] = "trajectory"
    points: GridPoints = 25


class Line(ModelCopyProbe):
    """Linear interpolation: loss on the line between these weights and another run's (loss barrier)."""

    target = "worker.trainer.probes.on_demand.line:Line"
    formula = "max_a L((1 - a) theta + a theta') - max(L(theta), L(theta'))"
    paper = "Frankle et al. 2020, arXiv:1912.05671"
    cost = 10
    costs = "a forward pass a point"
    kind: Literal["line"] = "line"
    run: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="run whose kept checkpoint is the other end; null: this run's initial weights"
    )
    step: Count | None = Field(None, description="step of that checkpoint; null: the newest")
    points: Points = 25


class RangeTest(OnDemandProbe):
    """Learning rate range test on a temporary copy."""

    target = "worker.trainer.probes.on_demand.range_test:RangeTest"
    formula = "lr_i = lowest (highest / lowest)^(i / steps)"
    paper = "Smith 2017, arXiv:1506.01186"
    cost = 100
    costs = "a training step each"
    kind: Literal["range_test"] = "range_test"
    lowest: Annotated[float, Field(gt=0, le=10, description="first rate")] = 1e-7
    highest: Annotated[float, Field(gt=0, le=1e3, description="last rate")] = 10.0
    steps: Annotated[int, Field(ge=10, le=10_000, description="training steps")] = 100


class OverfitBatch(OnDemandProbe):
    """Overfit one batch: if fresh weights under Adam cannot memorise it, the data pipeline or the model is wrong."""

    target = "worker.trainer.probes.on_demand.overfit_batch:OverfitBatch"
    formula = "L(theta_500) / L(theta_0) on one batch"
    paper = "Karpathy 2019, A recipe for training neural networks"
    cost = 500
    costs = "a training step each, for each of up to three rates"
    kind: Literal["overfit_batch"] = "overfit_batch"
    steps: Annotated[int, Field(ge=10, le=10_000, description="training steps at each rate")] = 500


class Learnability(OnDemandProbe):
    """Whether these data can be learned: by the same model under Adam on fresh weights, by a simple model, by neither.

    A control on shuffled targets shows what memorising alone reaches. See `diagnose` of a spec.
    """

    target = "worker.trainer.probes.learnability.instrument:Learnability"
    formula = (
        "losses of fresh weights under adam at 3e-4, 3e-3, 3e-2; of a linear model, an MLP or bigrams; of a control"
    )
    paper = "Jamieson & Talwalkar 2016, arXiv:1502.07943; Zhang et al. 2017, arXiv:1611.03530"
    cost = 1500
    costs = "about three times `steps` training steps of the model, at most `seconds`"
    looks = 1
    kind: Literal["learnability"] = "learnability"
    steps: Count | None = Field(
        None,
        description="training steps at the best rate; null: the run's own, for as many rows, at most 500, or 1/40 of a "
        "longer run's",
    )
    seconds: Annotated[float, Field(gt=0, le=3600)] = Field(
        20, description="maximum duration of all trainings together"
    )


class GradientCheck(ModelCopyProbe):
    """Gradient check: compares the gradient with finite differences along random directions."""

    target = "worker.trainer.probes.on_demand.gradient_check:GradientCheck"
    formula = "(L(theta + h d) - L(theta - h d)) / 2h against g d"
    paper = ""
    cost = 6
    costs = "two forward passes a direction"
    kind: Literal["gradient_check"] = "gradient_check"
    directions: Annotated[int, Field(ge=1, le=100, description="number of random directions")] = 5


class Autopsy(OnDemandProbe):
    """Repeats the steps since a checkpoint to find the first non-finite value and its origin."""

    target = "worker.trainer.probes.on_demand.autopsy:Autopsy"
    formula = "first of: input, output of a module, loss, gradient, optimizer state, weight"
    paper = ""
    cost = 1000
    costs = "the training steps since the checkpoint"
    kind: Literal["autopsy"] = "autopsy"
    steps: Annotated[int, Field(ge=1, le=100_000)] = Field(1000, description="maximum number of steps to repeat")
