"""Datasets drawn from a formula, whose right answer is known."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.datasets.base import (
    SCALING,
    DataSeed,
    Facts,
    Noise,
    RegressionBase,
    Rows,
    Scaling,
    TableBase,
    too_many_cells,
)

Frequency = Annotated[float, Field(gt=0, le=1e3)]


class CurveBase(RegressionBase):
    """A function of one number in -1 to 1, with Gaussian noise; the target is unscaled by default."""

    known = Facts(0, (1,), "regression")

    rows: Rows = 1000
    noise: Annotated[Noise, Field(description="standard deviation")] = 0.0
    seed: DataSeed = 0
    target_scaling: Scaling = Field("none", description=f"of the value to predict, {SCALING}")


class Absolute(CurveBase):
    """A kink, which two rectified units fit exactly."""

    target = "worker.trainer.data.synthetic:absolute"
    formula = "|x| + noise"

    kind: Literal["absolute"] = "absolute"


class StepFunction(CurveBase):
    """A jump at 0, which no continuous model fits exactly."""

    target = "worker.trainer.data.synthetic:step"
    formula = "1 where x > 0, else 0, + noise"

    kind: Literal["step"] = "step"


class Sine(CurveBase):
    """A sine wave."""

    target = "worker.trainer.data.synthetic:sine"
    formula = "sin(pi frequency x) + noise"

    kind: Literal["sine"] = "sine"
    frequency: Annotated[Frequency, Field(description="waves between -1 and 1")] = 1.0


class Sinusoids(CurveBase):
    """A sum of sine waves with phases of their own: low frequencies are learned first."""

    target = "worker.trainer.data.synthetic:sinusoids"
    formula = "sum over k of amplitude_k sin(pi frequency_k x + phase_k) + noise"
    paper = "Rahaman et al. 2019, On the spectral bias of neural networks, arXiv:1806.08734"

    kind: Literal["sinusoids"] = "sinusoids"
    frequencies: Annotated[tuple[Frequency, ...], Field(min_length=1, max_length=100)] = (1.0, 2.0, 4.0, 8.0)
    amplitudes: Annotated[tuple[Noise, ...], Field(max_length=100)] | None = Field(None, description="null: 1 each")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless there is an amplitude for each frequency."""
        yield from super().problems()
        if self.amplitudes is not None and len(self.amplitudes) != len(self.frequencies):
            detail = f"one for each of the {len(self.frequencies)} in /frequencies."
            yield Problem("/amplitudes", "contradiction", detail, len(self.frequencies))


class Xor(TableBase):
    """A square in four quarters, opposite ones of one class: no line separates them (Minsky, Papert 1969)."""

    target = "worker.trainer.data.synthetic:xor"
    formula = "class 1 where x0 > 0 differs from x1 > 0; then noise on x0 and x1"
    known = Facts(0, (2,), "classification", 2)

    kind: Literal["xor"] = "xor"
    rows: Rows = 1000
    noise: Annotated[Noise, Field(description="standard deviation")] = 0.0
    seed: DataSeed = 0


class Spirals(TableBase):
    """Arms that wind around each other, one per class."""

    target = "worker.trainer.data.synthetic:spirals"
    formula = "radius r in 0 to 1, angle 2 pi (turns r + arm / arms); then noise on both coordinates"
    paper = "Lang, Witbrock 1988, Learning to tell two spirals apart"

    kind: Literal["spirals"] = "spirals"
    rows: Rows = 1000
    arms: Annotated[int, Field(ge=2, le=20)] = 2
    turns: Annotated[float, Field(gt=0, le=20)] = 1.5
    noise: Annotated[Noise, Field(description="standard deviation")] = 0.02
    seed: DataSeed = 0

    @property
    def facts(self) -> Facts:
        """Arms in equal shares."""
        return Facts(self.rows, (2,), "classification", self.arms)

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless each arm has three rows."""
        yield from super().problems()
        if self.rows < 3 * self.arms:
            yield Problem("/rows", "too_small", f"/arms needs at least {3 * self.arms} rows.", 3 * self.arms)


class Teacher(RegressionBase):
    """Standard normal rows, labelled by a random network with one hidden layer: a student can match it exactly."""

    target = "worker.trainer.data.synthetic:teacher"
    formula = "v . activation(W x) / sqrt(hidden) + noise, with W of variance 1 / features and v of variance 1"
    paper = "Saad, Solla 1995, On-line learning in soft committee machines, Physical Review E 52"

    kind: Literal["teacher"] = "teacher"
    rows: Rows = 2000
    features: Annotated[int, Field(ge=1, le=10_000)] = 20
    hidden: Annotated[int, Field(ge=1, le=10_000)] = 8
    activation: Literal["tanh", "relu", "erf"] = "tanh"
    noise: Annotated[Noise, Field(description="standard deviation")] = 0.0
    seed: DataSeed = 0
    target_scaling: Scaling = Field("none", description=f"of the value to predict, {SCALING}")

    @property
    def facts(self) -> Facts:
        """One value a row."""
        return Facts(self.rows, (self.features,), "regression")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem if rows or hidden values do not fit in memory."""
        yield from super().problems()
        yield from too_many_cells(self.rows, max(self.features, self.hidden))


class NoisyQuadratic(RegressionBase):
    """Rows of covariance H with chosen condition: under `linear` and `mse` the surface is a quadratic with Hessian 2 H.

    Batches see it through noise, as the noisy quadratic model does. Features stay unscaled: scaling would change H.
    """

    target = "worker.trainer.data.synthetic:noisy_quadratic"
    formula = "x normal with covariance H, whose eigenvalues go from 1 down to 1 / condition evenly in the logarithm"
    paper = "Zhang et al. 2019, Which algorithmic choices matter at which batch sizes?, arXiv:1907.04164"

    kind: Literal["noisy_quadratic"] = "noisy_quadratic"
    rows: Rows = 2000
    features: Annotated[int, Field(ge=1, le=1_000)] = 20
    condition: Annotated[float, Field(ge=1, le=1e6)] = 100.0
    rotated: bool = Field(False, description="whether the axes of the surface are turned away from the parameters'")
    noise: Annotated[Noise, Field(description="standard deviation of the value to predict")] = 0.1
    seed: DataSeed = 0
    scaling: Scaling = Field("none", description=f"of the features, {SCALING}")
    target_scaling: Scaling = Field("none", description=f"of the value to predict, {SCALING}")

    @property
    def facts(self) -> Facts:
        """One value a row."""
        return Facts(self.rows, (self.features,), "regression")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for rows that do not fit in memory."""
        yield from super().problems()
        yield from too_many_cells(self.rows, self.features)


class Mnist1d(TableBase):
    """Ten one-dimensional figures of 12 points, padded, scaled, moved, made noisy and sheared; 40 points a row.

    Small enough for a CPU, and yet linear models, networks and convolutions are far apart on it. The figures are ours.
    With `validation` 0.2 there are 4,000 rows to train on and 1,000 to validate, as in the paper.
    """

    target = "worker.trainer.data.mnist1d:mnist1d"
    paper = "Greydanus, Kobak 2024, Scaling down deep learning with MNIST-1D, arXiv:2011.14439"
    known = Facts(0, (40,), "classification", 10)

    kind: Literal["mnist1d"] = "mnist1d"
    rows: Annotated[int, Field(ge=100, le=10**6)] = 5000
    scale: Annotated[float, Field(ge=0, le=2, description="how far the height of a figure varies, as a share")] = 0.4
    translation: Annotated[int, Field(ge=1, le=72, description="a circular shift is below this, in 72nds")] = 48
    correlated_noise: Annotated[Noise, Field(description="in the padding, before smoothing by 2 points")] = 0.25
    noise: Annotated[Noise, Field(description="standard deviation, independent at each point")] = 0.02
    shear: Annotated[Noise, Field(description="how far the slope of a row varies")] = 0.75
    seed: DataSeed = 42
