"""Optimizers that divide by the size of past gradients, without a mean of the gradients themselves."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Beta, Decay, PositiveRate
from service.spec.optimizers.base import (
    NO_FUSED,
    Betas,
    Epsilon,
    LearningRate,
    Momentum,
    OptimizerBase,
    WeightDecay,
    policy,
)

Averaging = Annotated[Beta, Field(description="decay rate of the running mean of squared gradients")]


class Adagrad(OptimizerBase):
    """Adagrad: divides each step by the root of the sum of all squared gradients so far."""

    usual_lr = 1e-2
    target = "torch.optim:Adagrad"
    left_out = policy("foreach", "fused", "differentiable")
    rate_scaling = "sum"
    fused_on = ("cuda",)
    sparse = True
    state_per_parameter = 1
    formula = "G += g^2;  p -= lr / (1 + (t-1)*lr_decay) * g / (sqrt(G) + eps)"
    paper = "Duchi et al. 2011, JMLR 12"

    kind: Literal["adagrad"] = "adagrad"
    lr: LearningRate = 1e-2
    lr_decay: Decay = Field(0.0, description="the rate is divided by 1 + (t - 1) * lr_decay at update t")
    weight_decay: WeightDecay = 0.0
    initial_accumulator_value: Annotated[float, Field(ge=0, le=1e6, description="initial sum of squares")] = 0.0
    eps: Epsilon = 1e-10


class RMSprop(OptimizerBase):
    """RMSprop: divides each step by a running root mean square of the gradients."""

    target = "torch.optim:RMSprop"
    left_out = NO_FUSED
    rate_scaling = "recent"
    running_means = ("alpha",)
    formula = "v = alpha*v + (1-alpha)*g^2;  p -= lr * g / (sqrt(v) + eps)"
    paper = "Tieleman & Hinton 2012, Coursera lecture 6.5"

    kind: Literal["rmsprop"] = "rmsprop"
    lr: LearningRate = 1e-2
    alpha: Averaging = 0.99
    eps: Epsilon = 1e-8
    weight_decay: WeightDecay = 0.0
    momentum: Momentum = 0.0
    centered: bool = Field(False, description="divide by the standard deviation instead of the root mean square")

    def state_size(self) -> float:
        """Return 1 for the second moment, 1 for a momentum, and 1 for the mean of a centered form."""
        return 1 + bool(self.momentum) + self.centered

    def warnings(self) -> Iterator[Problem]:
        """Yield a warning about the centered form."""
        if self.centered:
            detail = "where a gradient hardly changes, its variance goes to 0 and the step grows without bound."
            yield Problem("/centered", "may_diverge", detail)


class Adadelta(OptimizerBase):
    """Adadelta: scales each step by the size of past steps, so that lr rarely needs tuning and may stay 1."""

    usual_lr = 1.0
    target = "torch.optim:Adadelta"
    left_out = NO_FUSED
    rate_scaling = "recent"
    running_means = ("rho",)
    formula = "d = sqrt(u + eps) / sqrt(v + eps) * g;  u = rho*u + (1-rho)*d^2;  p -= lr*d"
    paper = "Zeiler 2012, arXiv:1212.5701"

    kind: Literal["adadelta"] = "adadelta"
    lr: LearningRate = 1.0
    rho: Annotated[Beta, Field(description="decay rate of the running means of squares")] = 0.9
    eps: Epsilon = 1e-6
    weight_decay: WeightDecay = 0.0


class Adafactor(OptimizerBase):
    """Adafactor: saves memory by keeping one row and one column of second moments per matrix.

    lr is relative to the size of each parameter and at most 1/sqrt(t). Weight decay is decoupled.
    """

    usual_lr = 1e-2
    target = "worker.trainer.optim.adafactor:Adafactor"
    left_out = policy("foreach")
    state_per_parameter = 0.1  # a row and a column for a matrix
    decoupled = True
    formula = "p -= max(eps[1], rms(p)) * min(lr, 1/sqrt(t)) * u / max(1, rms(u)/d),  u = g / sqrt(v)"
    paper = "Shazeer & Stern 2018, arXiv:1804.04235"

    kind: Literal["adafactor"] = "adafactor"
    lr: LearningRate = 1e-2
    beta2_decay: Annotated[float, Field(ge=-10, le=0, description="beta2 at update t is 1 - t^beta2_decay")] = -0.8
    eps: tuple[Epsilon | None, Epsilon] = Field(
        (None, 1e-3),
        description="lower bounds of the second moment (null: the float type's epsilon) and of the parameter's size",
    )
    d: Annotated[float, Field(ge=1, le=1e6, description="largest root mean square of an update")] = 1.0
    weight_decay: WeightDecay = 0.0


class LectureAdagrad(OptimizerBase):
    """Adagrad with the root of the mean of squares instead of the sum, as some lectures present it."""

    usual_lr = 1e-2
    target = "worker.trainer.optim.lecture:LectureAdagrad"
    left_out = {}
    state_per_parameter = 1
    formula = "sigma_t = sqrt(mean of g_0^2 ... g_t^2);  p -= lr * g / sigma_t;  no step where every g was 0"
    paper = "Hung-yi Lee 2021, Machine Learning, When gradient is small; after Duchi et al. 2011"

    kind: Literal["lecture_adagrad"] = "lecture_adagrad"
    lr: LearningRate = 1e-2


class LectureRMSprop(OptimizerBase):
    """RMSprop that starts from the first gradient's size instead of 0, as some lectures present it."""

    target = "worker.trainer.optim.lecture:LectureRMSprop"
    left_out = {}
    rate_scaling = "recent"
    running_means = ("alpha",)
    state_per_parameter = 1
    formula = "sigma_0 = |g_0|;  sigma_t = sqrt(alpha*sigma^2 + (1-alpha)*g^2);  p -= lr * g / sigma_t"
    paper = "Hung-yi Lee 2021, Machine Learning, When gradient is small; after Tieleman & Hinton 2012"

    kind: Literal["lecture_rmsprop"] = "lecture_rmsprop"
    lr: LearningRate = 1e-2
    alpha: Averaging = 0.99


class AdaBound(OptimizerBase):
    """AdaBound: Adam whose rate for each parameter is clipped to bounds that converge to the SGD rate `final_lr`.

    The schedule scales both bounds.
    """

    target = "worker.trainer.optim.adabound:AdaBound"
    left_out = {}
    rate_scaling = "recent"
    formula = (
        "p -= clip(lr_t/sqrt(v), f*(1 - 1/(gamma*t+1)), f*(1 + 1/(gamma*t))) * m,"
        "  lr_t = lr*sqrt(1-beta2^t)/(1-beta1^t)"
    )
    paper = "Luo et al. 2019, arXiv:1902.09843, algorithm 2"

    kind: Literal["adabound"] = "adabound"
    betas: Betas = (0.9, 0.999)
    final_lr: Annotated[PositiveRate, Field(description="the SGD rate that both bounds converge to")] = 0.1
    gamma: Annotated[float, Field(gt=0, le=1, description="how fast the bounds converge")] = 1e-3
    eps: Epsilon = 1e-8
    weight_decay: WeightDecay = 0.0
    amsbound: bool = Field(False, description="divide by the largest second moment so far")
