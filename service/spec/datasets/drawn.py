"""Synthetic datasets with a known formula."""

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
Amplitude = Annotated[float, Field(ge=0, le=1e3)]


class CurveBase(RegressionBase):
    """A function of one feature in -1 to 1, with Gaussian noise; the target is not scaled by default."""

    known = Facts(0, (1,), "regression")

    rows: Rows = 1000
    noise: Noise = 0.0
    seed: DataSeed = 0
    target_scaling: Scaling = Field("none", description=f"scaling of the target, {SCALING}")


class Absolute(CurveBase):
    """Absolute value of x, with noise. Two ReLU units can fit it exactly."""

    target = "worker.trainer.data.synthetic:absolute"
    formula = "|x| + noise"

    kind: Literal["absolute"] = "absolute"


class StepFunction(CurveBase):
    """A step from 0 to 1 at x = 0, with noise. No continuous model fits it exactly."""

    target = "worker.trainer.data.synthetic:step"
    formula = "1 where x > 0, else 0, + noise"

    kind: Literal["step"] = "step"


class Sine(CurveBase):
    """A sine wave, with noise."""

    target = "worker.trainer.data.synthetic:sine"
    formula = "sin(pi frequency x) + noise"

    kind: Literal["sine"] = "sine"
    frequency: Annotated[Frequency, Field(description="number of periods between -1 and 1")] = 1.0


class Sinusoids(CurveBase):
    """A sum of sine waves with random phases. Networks learn the low frequencies first (spectral bias)."""

    target = "worker.trainer.data.synthetic:sinusoids"
    formula = "sum over k of amplitude_k sin(pi frequency_k x + phase_k) + noise"
    paper = "Rahaman et al. 2019, On the spectral bias of neural networks, arXiv:1806.08734"

    kind: Literal["sinusoids"] = "sinusoids"
    frequencies: Annotated[
        tuple[Frequency, ...], Field(min_length=1, max_length=100, description="periods of each wave between -1 and 1")
    ] = (1.0, 2.0, 4.0, 8.0)
    amplitudes: Annotated[tuple[Amplitude, ...], Field(max_length=100)] | None = Field(
        None, description="amplitude of each wave; null: 1 each"
    )

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless there is an amplitude for each frequency."""
        yield from super().problems()
        if self.amplitudes is not None and len(self.amplitudes) != len(self.frequencies):
            detail = f"one for each of the {len(self.frequencies)} in /frequencies."
            yield Problem("/amplitudes", "contradiction", detail, len(self.frequencies))


class Xor(TableBase):
    """XOR: points of a square; opposite quadrants have the same class. Not linearly separable."""

    target = "worker.trainer.data.synthetic:xor"
    formula = "class 1 where x0 > 0 differs from x1 > 0; then noise on x0 and x1"
    known = Facts(0, (2,), "classification", 2)

    kind: Literal["xor"] = "xor"
    rows: Rows = 1000
    noise: Noise = 0.0
    seed: DataSeed = 0


class Spirals(TableBase):
    """Interleaved spirals in the plane, one per class."""

    target = "worker.trainer.data.synthetic:spirals"
    formula = "radius r in 0 to 1, angle 2 pi (turns r + arm / arms); then noise on both coordinates"
    paper = "Lang, Witbrock 1988, Learning to tell two spirals apart"

    kind: Literal["spirals"] = "spirals"
    rows: Rows = 1000
    arms: Annotated[int, Field(ge=2, le=20, description="number of spirals, so of classes")] = 2
    turns: Annotated[float, Field(gt=0, le=20, description="turns of each spiral")] = 1.5
    noise: Noise = 0.02
    seed: DataSeed = 0

    @property
    def facts(self) -> Facts:
        """One class per arm."""
        return Facts(self.rows, (2,), "classification", self.arms)

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless each arm has three rows."""
        yield from super().problems()
        if self.rows < 3 * self.arms:
            yield Problem("/rows", "too_small", f"/arms needs at least {3 * self.arms} rows.", 3 * self.arms)


class Teacher(RegressionBase):
    """Normal features; targets come from a random network with one hidden layer (teacher and student setting)."""

    target = "worker.trainer.data.synthetic:teacher"
    formula = "v . activation(W x) / sqrt(hidden) + noise, with W of variance 1 / features and v of variance 1"
    paper = "Saad, Solla 1995, On-line learning in soft committee machines, Physical Review E 52"

    kind: Literal["teacher"] = "teacher"
    rows: Rows = 2000
    features: Annotated[int, Field(ge=1, le=10_000, description="number of features")] = 20
    hidden: Annotated[int, Field(ge=1, le=10_000, description="hidden units of the teacher")] = 8
    activation: Literal["tanh", "relu", "erf"] = Field("tanh", description="activation of the teacher")
    noise: Noise = 0.0
    seed: DataSeed = 0
    target_scaling: Scaling = Field("none", description=f"scaling of the target, {SCALING}")

    @property
    def facts(self) -> Facts:
        """One numeric target per row."""
        return Facts(self.rows, (self.features,), "regression")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem if rows or hidden values do not fit in memory."""
        yield from super().problems()
        yield from too_many_cells(self.rows, max(self.features, self.hidden))


class NoisyQuadratic(RegressionBase):
    """Noisy quadratic: with `linear` and `mse` the loss is a quadratic with Hessian 2 H, plus noise of the batches.

    H is the covariance of the features and has the chosen condition number. Scaling the features would change H.
    """

    target = "worker.trainer.data.synthetic:noisy_quadratic"
    formula = "x normal with covariance H, whose eigenvalues go from 1 down to 1 / condition evenly in the logarithm"
    paper = "Zhang et al. 2019, Which algorithmic choices matter at which batch sizes?, arXiv:1907.04164"

    kind: Literal["noisy_quadratic"] = "noisy_quadratic"
    rows: Rows = 2000
    features: Annotated[int, Field(ge=1, le=1_000, description="number of features")] = 20
    condition: Annotated[float, Field(ge=1, le=1e6, description="condition number of H")] = 100.0
    rotated: bool = Field(False, description="rotate the eigenvectors of H away from the parameter axes")
    noise: Annotated[Noise, Field(description="standard deviation of the noise on the target")] = 0.1
    seed: DataSeed = 0
    scaling: Scaling = Field("none", description=f"scaling of the features, {SCALING}")
    target_scaling: Scaling = Field("none", description=f"scaling of the target, {SCALING}")

    @property
    def facts(self) -> Facts:
        """One numeric target per row."""
        return Facts(self.rows, (self.features,), "regression")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for rows that do not fit in memory."""
        yield from super().problems()
        yield from too_many_cells(self.rows, self.features)


class Mnist1d(TableBase):
    """MNIST-1D: rows of 40 points with one of ten patterns of 12 points, scaled, shifted, sheared and with noise.

    Small enough for a CPU, yet linear models, MLPs and CNNs differ clearly. The patterns are our own. With `validation`
    0.2 there are 4,000 training and 1,000 validation rows, as in the paper.
    """

    target = "worker.trainer.data.mnist1d:mnist1d"
    paper = "Greydanus, Kobak 2024, Scaling down deep learning with MNIST-1D, arXiv:2011.14439"
    known = Facts(0, (40,), "classification", 10)

    kind: Literal["mnist1d"] = "mnist1d"
    rows: Annotated[int, Field(ge=100, le=10**6, description="number of rows, before the split")] = 5000
    scale: Annotated[float, Field(ge=0, le=2, description="relative variation of a pattern's height")] = 0.4
    translation: Annotated[
        int, Field(ge=1, le=72, description="upper bound of the random circular shift, in 72nds of a row")
    ] = 48
    correlated_noise: Annotated[
        Noise, Field(description="standard deviation of the correlated noise in the padding")
    ] = 0.25
    noise: Annotated[Noise, Field(description="standard deviation of the independent noise at each point")] = 0.02
    shear: Annotated[Noise, Field(description="variation of the slope added to a row")] = 0.75
    seed: DataSeed = 42
