"""Probes that compute on a copy: at their own interval during training, or on demand at a kept checkpoint."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.component import Count
from service.spec.probes.base import ModelCopyProbe, OnDemandProbe

Products = Annotated[int, Field(ge=2, le=10_000, description="Hessian-vector products at most")]
Tolerance = Annotated[float, Field(gt=0, lt=1)]
Reach = Annotated[float, Field(gt=0, le=1000)]
Points = Annotated[int, Field(ge=3, le=201, description="along each direction")]


class Sharpness(ModelCopyProbe):
    """Largest eigenvalue of the Hessian against the limit that the rate allows."""

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
    tolerance: Tolerance = Field(1e-4, description="of the eigenvalue: the residual at which it is believed")


class CriticalSharpness(ModelCopyProbe):
    """The same from forward passes: two over the smallest step along the update that raises the loss."""

    target = "worker.trainer.probes.on_demand.critical_sharpness:CriticalSharpness"
    formula = "2 / eta_c"
    paper = "Kalra et al. 2026, arXiv:2601.16979"
    cost = 5
    costs = "one update and 5 to 15 forward passes"
    kind: Literal["critical_sharpness"] = "critical_sharpness"
    tolerance: Tolerance = Field(0.02, description="of eta_c: how far the search narrows it")


class NoiseScale(ModelCopyProbe):
    """Gradient noise scale: the batch size at which noise and signal are alike."""

    target = "worker.trainer.probes.on_demand.noise_scale:NoiseScale"
    formula = "tr(Sigma) / |G|^2"
    paper = "McCandlish et al. 2018, arXiv:1812.06162, appendix A.1"
    cost = 4
    costs = "one gradient a draw"
    kind: Literal["noise_scale"] = "noise_scale"
    pieces: Annotated[int, Field(ge=2, le=1024)] = Field(32, description="that each draw's rows are cut into")
    draws: Annotated[int, Field(ge=1, le=100)] = Field(4, description="of rows; one where they are all rows there are")


class CriticalPoint(ModelCopyProbe):
    """Whether the run is at a minimum, a saddle or a flat region, with the way out and the drop measured along it."""

    target = "worker.trainer.probes.on_demand.critical_point:CriticalPoint"
    formula = "|g|, lambda_min, lambda_max, L(theta + a v_min) - L(theta)"
    paper = "Dauphin et al. 2014, arXiv:1406.2572"
    cost = 150
    costs = "two gradients and an update; near a critical point 60 to 200 products of 1.5 and 30 forward passes"
    kind: Literal["critical_point"] = "critical_point"
    products: Products = 200
    anyway: bool = Field(False, description="look at the curvature even where the gradient says: not critical")


class Spectrum(ModelCopyProbe):
    """All eigenvalues of a small model's Hessian."""

    target = "worker.trainer.probes.on_demand.spectrum:Spectrum"
    formula = "eig(H); minimum ratio = #(lambda > 1e-6 lambda_max) / n"
    paper = "Sagun et al. 2017, arXiv:1706.04454"
    cost = 1000
    costs = "one Hessian-vector product a parameter"
    kind: Literal["spectrum"] = "spectrum"


class SpectralDensity(ModelCopyProbe):
    """Density of the Hessian's eigenvalues by stochastic Lanczos quadrature."""

    target = "worker.trainer.probes.on_demand.spectral_density:SpectralDensity"
    formula = "sum_i w_i N(lambda_i, sigma^2)"
    paper = "Ghorbani et al. 2019, arXiv:1901.10159"
    cost = 300
    costs = "iterations times vectors Hessian-vector products"
    kind: Literal["spectral_density"] = "spectral_density"
    iterations: Annotated[int, Field(ge=2, le=1000)] = 30
    vectors: Annotated[int, Field(ge=1, le=100)] = 10


class Slice(ModelCopyProbe):
    """Loss along one direction through the weights."""

    target = "worker.trainer.probes.on_demand.slice:Slice"
    formula = "L(theta + a d)"
    paper = "Goodfellow et al. 2015, arXiv:1412.6544"
    cost = 16
    costs = "a forward pass a point, and up to 100 products where the direction is one of curvature"
    kind: Literal["slice"] = "slice"
    points: Points = 41
    direction: Literal["gradient", "update", "escape", "sharpest", "initial", "random"] = Field(
        "gradient",
        description="escape and sharpest: least and largest curvature; initial: the way from the first weights",
    )
    reach: Reach | None = Field(
        None, description="either side, in updates, or in lengths of the weights; null: what suits the direction"
    )


class Plane(ModelCopyProbe):
    """Loss on a filter-normalised plane through the weights; valleys it shows need not exist in full."""

    target = "worker.trainer.probes.on_demand.plane:Plane"
    formula = "L(theta + a d_1 + b d_2), |d_f| = |theta_f|"
    paper = "Li et al. 2018, arXiv:1712.09913, section 4"
    cost = 250
    costs = "a forward pass a point of the grid"
    kind: Literal["plane"] = "plane"
    points: Annotated[int, Field(ge=3, le=101)] = 25
    directions: Literal["random", "curvature"] = "random"
    reach: Reach = Field(1.0, description="either side, in lengths of the weights")
    chance: Annotated[int, Field(ge=0, le=10**6)] = Field(0, description="which of the random pairs")


class Trajectory(ModelCopyProbe):
    """The kept checkpoints on their principal plane, with the loss there."""

    target = "worker.trainer.probes.on_demand.trajectory:Trajectory"
    formula = "PCA(theta_t - theta_T)"
    paper = "Li et al. 2018, arXiv:1712.09913, section 7"
    cost = 250
    costs = "a forward pass a point of the grid"
    kind: Literal["trajectory"] = "trajectory"
    points: Annotated[int, Field(ge=3, le=101)] = 25


class Line(ModelCopyProbe):
    """Loss on the straight line from these weights to another run's."""

    target = "worker.trainer.probes.on_demand.line:Line"
    formula = "max_a L((1 - a) theta + a theta') - max(L(theta), L(theta'))"
    paper = "Frankle et al. 2020, arXiv:1912.05671"
    cost = 10
    costs = "a forward pass a point"
    kind: Literal["line"] = "line"
    run: Annotated[str, Field(max_length=64)] | None = Field(
        None, description="whose kept checkpoint it leads to; null: to this run's first weights"
    )
    step: Count | None = Field(None, description="of that checkpoint; null: the newest")
    points: Points = 25


class RangeTest(OnDemandProbe):
    """Learning rate range test on a throw-away copy."""

    target = "worker.trainer.probes.on_demand.range_test:RangeTest"
    formula = "lr_i = lowest (highest / lowest)^(i / steps)"
    paper = "Smith 2017, arXiv:1506.01186"
    cost = 100
    costs = "a training step each"
    kind: Literal["range_test"] = "range_test"
    lowest: Annotated[float, Field(gt=0, le=10)] = 1e-7
    highest: Annotated[float, Field(gt=0, le=1e3)] = 10.0
    steps: Annotated[int, Field(ge=10, le=10_000)] = 100


class OverfitBatch(OnDemandProbe):
    """Whether a copy can memorise one batch: if not, the pipeline or the model is wrong."""

    target = "worker.trainer.probes.on_demand.overfit_batch:OverfitBatch"
    formula = "L(theta_500) / L(theta_0) on one batch"
    paper = "Karpathy 2019, A recipe for training neural networks"
    cost = 500
    costs = "a training step each"
    kind: Literal["overfit_batch"] = "overfit_batch"
    steps: Annotated[int, Field(ge=10, le=10_000)] = 500


class GradientCheck(ModelCopyProbe):
    """The gradient against finite differences along random directions."""

    target = "worker.trainer.probes.on_demand.gradient_check:GradientCheck"
    formula = "(L(theta + h d) - L(theta - h d)) / 2h against g d"
    paper = ""
    cost = 6
    costs = "two forward passes a direction"
    kind: Literal["gradient_check"] = "gradient_check"
    directions: Annotated[int, Field(ge=1, le=100)] = 5


class Autopsy(OnDemandProbe):
    """Repeats the steps since a checkpoint to find the first non-finite value and its origin."""

    target = "worker.trainer.probes.on_demand.autopsy:Autopsy"
    formula = "first of: input, output of a module, loss, gradient, optimizer state, weight"
    paper = ""
    cost = 1000
    costs = "the training steps since the checkpoint"
    kind: Literal["autopsy"] = "autopsy"
    steps: Annotated[int, Field(ge=1, le=100_000)] = Field(1000, description="to make again at most")
