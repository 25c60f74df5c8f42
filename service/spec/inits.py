"""One class per initialisation of weight matrices and kernels (biases become 0), then the union."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.spec.component import Component

Gain = Annotated[float, Field(gt=0, le=1e3)]
Number = Annotated[float, Field(ge=-1e3, le=1e3)]
Mode = Literal["fan_in", "fan_out"]
Nonlinearity = Literal["linear", "relu", "leaky_relu", "tanh", "sigmoid", "selu"]


class Init_(Component):
    """An initialisation; its target fills a tensor in place."""

    left_out = {"generator": "the run's own random state"}


class TorchDefault(Init_):
    """Whatever torch's layers do by themselves; biases are left to them too."""

    target = ""

    kind: Literal["default"] = "default"


class XavierUniform(Init_):
    """Uniform, variance 2 gain^2 / (fan_in + fan_out)."""

    target = "torch.nn.init:xavier_uniform_"
    paper = "Glorot & Bengio 2010"

    kind: Literal["xavier_uniform"] = "xavier_uniform"
    gain: Gain = 1.0


class XavierNormal(Init_):
    """Normal, variance 2 gain^2 / (fan_in + fan_out)."""

    target = "torch.nn.init:xavier_normal_"
    paper = "Glorot & Bengio 2010"

    kind: Literal["xavier_normal"] = "xavier_normal"
    gain: Gain = 1.0


class KaimingUniform(Init_):
    """Uniform, variance gain(nonlinearity)^2 / fan."""

    target = "torch.nn.init:kaiming_uniform_"
    paper = "He et al. 2015, arXiv:1502.01852"

    kind: Literal["kaiming_uniform"] = "kaiming_uniform"
    a: Number = 0.0
    mode: Mode = "fan_in"
    nonlinearity: Nonlinearity = "leaky_relu"


class KaimingNormal(Init_):
    """Normal, variance gain(nonlinearity)^2 / fan."""

    target = "torch.nn.init:kaiming_normal_"
    paper = "He et al. 2015, arXiv:1502.01852"

    kind: Literal["kaiming_normal"] = "kaiming_normal"
    a: Number = 0.0
    mode: Mode = "fan_in"
    nonlinearity: Nonlinearity = "leaky_relu"


class Orthogonal(Init_):
    """A (semi-)orthogonal matrix times gain."""

    target = "torch.nn.init:orthogonal_"
    paper = "Saxe et al. 2014, arXiv:1312.6120"

    kind: Literal["orthogonal"] = "orthogonal"
    gain: Gain = 1.0


class Normal(Init_):
    """Normal with given mean and standard deviation."""

    target = "torch.nn.init:normal_"

    kind: Literal["normal"] = "normal"
    mean: Number = 0.0
    std: Annotated[float, Field(ge=0, le=1e3)] = 1.0


class Uniform(Init_):
    """Uniform between a and b."""

    target = "torch.nn.init:uniform_"

    kind: Literal["uniform"] = "uniform"
    a: Number = 0.0
    b: Number = 1.0


class Constant(Init_):
    """Every weight the same: no unit ever differs from its neighbour."""

    target = "torch.nn.init:constant_"
    left_out: ClassVar[dict[str, str]] = {}

    kind: Literal["constant"] = "constant"
    val: Number


Init = Annotated[
    TorchDefault
    | XavierUniform
    | XavierNormal
    | KaimingUniform
    | KaimingNormal
    | Orthogonal
    | Normal
    | Uniform
    | Constant,
    Field(discriminator="kind"),
]
