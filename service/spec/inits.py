"""The initialisations of weights, one class each, then their union.

A model's own initialisation fills matrices and kernels, and biases become 0; a rule of `inits` fills what it matches.
"""

import math
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Component
from service.spec.layout import Parameter
from service.spec.plugins import family_union

Gain = Annotated[float, Field(gt=0, le=1e3, description="scaling factor")]
Number = Annotated[float, Field(ge=-1e3, le=1e3)]
Mode = Annotated[Literal["fan_in", "fan_out"], Field(description="keep the variance of activations or of gradients")]
Nonlinearity = Annotated[
    Literal["linear", "relu", "leaky_relu", "tanh", "sigmoid", "selu"],
    Field(description="activation after the layer, which sets the gain"),
]
Slope = Annotated[Number, Field(description="negative slope of leaky_relu")]
Mean = Annotated[Number, Field(description="mean")]
Std = Annotated[float, Field(ge=0, le=1e3, description="standard deviation")]
PositiveStd = Annotated[float, Field(gt=0, le=1e3, description="standard deviation")]


class InitBase(Component):
    """An initialisation; its target fills a tensor in place."""

    left_out = {"generator": "the run's own random state"}
    renamed = {"misfits": "layout_problems", "uniform_units": "identical_units"}
    dims: ClassVar[tuple[int, ...]] = (2, 3, 4)  # of a weight; matrices have 2, kernels more
    any_shape: ClassVar[bool] = False  # whether it draws or sets each number by itself, so that it fills a bias, too

    @property
    def identical_units(self) -> bool:
        """Whether all units of a layer start identical, so that training cannot break the symmetry."""
        return False

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether it can fill a weight of this shape; other weights keep torch's own values."""
        return len(shape) in self.dims

    def fills(self, shape: tuple[int, ...]) -> bool:
        """Return whether a rule can fill a parameter of this shape with it."""
        return self.any_shape or self.fits(shape)

    @property
    def wants(self) -> str:
        """Return what a rule can fill with it, for an error."""
        return f"it is for {'matrices' if self.dims == (2,) else 'weights'} of {_listed(self.dims)} dimensions"

    def layout_problems(self, layout: Iterable[Parameter] | None) -> Iterator[Problem]:
        """Yield a problem if it can fill no weight of this model; a layout of None is unknown."""
        if self.target and layout is not None and not any(self.fits(parameter.shape) for parameter in layout):
            detail = f"{self.kind} fits no weight of this model: choose another one."
            yield Problem("/init/kind", "no_effect", detail)


def _listed(numbers: tuple[int, ...]) -> str:
    *most, last = map(str, numbers)
    return f"{', '.join(most)} or {last}" if most else last


Init_ = InitBase  # the old name, kept for plug-ins until 0.3


class TorchDefault(InitBase):
    """PyTorch's default initialisation of each layer, biases included."""

    target = ""

    kind: Literal["default"] = "default"


class XavierUniform(InitBase):
    """Xavier (Glorot) uniform: variance 2 gain^2 / (fan_in + fan_out)."""

    target = "torch.nn.init:xavier_uniform_"
    paper = "Glorot & Bengio 2010"

    kind: Literal["xavier_uniform"] = "xavier_uniform"
    gain: Gain = 1.0


class XavierNormal(InitBase):
    """Xavier (Glorot) normal: variance 2 gain^2 / (fan_in + fan_out)."""

    target = "torch.nn.init:xavier_normal_"
    paper = "Glorot & Bengio 2010"

    kind: Literal["xavier_normal"] = "xavier_normal"
    gain: Gain = 1.0


class KaimingUniform(InitBase):
    """Kaiming (He) uniform: variance gain(nonlinearity)^2 / fan."""

    target = "torch.nn.init:kaiming_uniform_"
    paper = "He et al. 2015, arXiv:1502.01852"

    kind: Literal["kaiming_uniform"] = "kaiming_uniform"
    a: Slope = 0.0
    mode: Mode = "fan_in"
    nonlinearity: Nonlinearity = "leaky_relu"


class KaimingNormal(InitBase):
    """Kaiming (He) normal: variance gain(nonlinearity)^2 / fan."""

    target = "torch.nn.init:kaiming_normal_"
    paper = "He et al. 2015, arXiv:1502.01852"

    kind: Literal["kaiming_normal"] = "kaiming_normal"
    a: Slope = 0.0
    mode: Mode = "fan_in"
    nonlinearity: Nonlinearity = "leaky_relu"


class Orthogonal(InitBase):
    """Orthogonal or semi-orthogonal matrices, times gain."""

    target = "torch.nn.init:orthogonal_"
    paper = "Saxe et al. 2014, arXiv:1312.6120"

    kind: Literal["orthogonal"] = "orthogonal"
    gain: Gain = 1.0


class Normal(InitBase):
    """Normal distribution with the given mean and standard deviation."""

    target = "torch.nn.init:normal_"
    any_shape = True

    kind: Literal["normal"] = "normal"
    mean: Mean = 0.0
    std: Std = 1.0

    @property
    def identical_units(self) -> bool:
        """Without a spread there is one value."""
        return self.std == 0


class Uniform(InitBase):
    """Uniform distribution between a and b."""

    target = "torch.nn.init:uniform_"
    any_shape = True

    kind: Literal["uniform"] = "uniform"
    a: Number = Field(0.0, description="lower bound")
    b: Number = Field(1.0, description="upper bound")

    @property
    def identical_units(self) -> bool:
        """Equal bounds leave one value."""
        return self.a == self.b


class TruncatedNormal(InitBase):
    """Normal distribution truncated to a and b."""

    target = "torch.nn.init:trunc_normal_"
    any_shape = True

    kind: Literal["trunc_normal"] = "trunc_normal"
    mean: Mean = 0.0
    std: PositiveStd = 1.0
    a: Number = Field(-2.0, description="lower bound, as a value and not in standard deviations")
    b: Number = Field(2.0, description="upper bound")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem unless a is below b."""
        if self.a >= self.b:
            yield Problem("/a", "contradiction", f"/b is {self.b}: a must be below it.")


class SameValue(InitBase):
    """An initialisation that gives every weight the same value."""

    any_shape = True
    left_out: ClassVar[dict[str, str]] = {}

    @property
    def identical_units(self) -> bool:
        """By its definition."""
        return True


class Constant(SameValue):
    """The same value for every weight. The units of a layer stay identical, so the model cannot learn much."""

    target = "torch.nn.init:constant_"

    kind: Literal["constant"] = "constant"
    val: Number = Field(description="the value")


class Zeros(SameValue):
    """Zeros. No gradient passes through a hidden layer with such weights."""

    target = "torch.nn.init:zeros_"

    kind: Literal["zeros"] = "zeros"


class Ones(SameValue):
    """Ones. The units of a layer stay identical."""

    target = "torch.nn.init:ones_"

    kind: Literal["ones"] = "ones"


class Eye(InitBase):
    """Identity matrices. Convolution kernels keep PyTorch's default."""

    target = "torch.nn.init:eye_"
    left_out: ClassVar[dict[str, str]] = {}
    dims = (2,)

    kind: Literal["eye"] = "eye"


class Dirac(InitBase):
    """Identity convolution kernels. Matrices keep PyTorch's default."""

    target = "torch.nn.init:dirac_"
    left_out: ClassVar[dict[str, str]] = {}
    dims = (3, 4)

    kind: Literal["dirac"] = "dirac"
    groups: Annotated[
        int,
        Field(
            ge=1, le=65_536, description="groups of channels; kernels that they do not divide keep PyTorch's default"
        ),
    ] = 1

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return False unless the groups divide the output channels, too."""
        return super().fits(shape) and shape[0] % self.groups == 0


class Sparse(InitBase):
    """Normal distribution with a share of each column set to 0. Convolution kernels keep PyTorch's default."""

    target = "torch.nn.init:sparse_"
    paper = "Martens 2010, Deep learning via Hessian-free optimization"
    dims = (2,)

    kind: Literal["sparse"] = "sparse"
    sparsity: Annotated[float, Field(ge=0, le=1, description="share of zeros in each column")]
    std: PositiveStd = 0.01


class Values(InitBase):
    """The given numbers, row by row. Weights of another size keep PyTorch's default."""

    target = "worker.trainer.models.fill:values_"
    left_out: ClassVar[dict[str, str]] = {}

    kind: Literal["values"] = "values"
    values: Annotated[tuple[Number, ...], Field(min_length=1, max_length=10_000, description="the numbers")]

    @property
    def identical_units(self) -> bool:
        """Whether all numbers are equal."""
        return len(set(self.values)) == 1

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Return whether a weight of this shape holds as many numbers."""
        return math.prod(shape) == len(self.values)

    @property
    def wants(self) -> str:
        """Return how many numbers there are."""
        return f"/values has {len(self.values)} numbers"


if TYPE_CHECKING:
    Init = InitBase
else:
    Init = family_union("init", InitBase, sys.modules[__name__])
