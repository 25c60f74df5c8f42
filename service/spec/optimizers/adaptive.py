"""Optimizers that divide by the size of past gradients, without a mean of the gradients themselves."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Beta, Decay, Epsilon, Rate
from service.spec.optimizers.base import NO_FUSED, OptimizerBase, policy


class Adagrad(OptimizerBase):
    """Step divided by the root of the sum of all squared gradients so far."""

    target = "torch.optim:Adagrad"
    left_out = policy("foreach", "fused", "differentiable")
    rate_scaling = "sum"
    fused_on = ("cuda",)
    sparse = True
    state_per_parameter = 1
    formula = "G += g^2;  p -= lr / (1 + (t-1)*lr_decay) * g / (sqrt(G) + eps)"
    paper = "Duchi et al. 2011, JMLR 12"

    kind: Literal["adagrad"] = "adagrad"
    lr: Rate = 1e-2
    lr_decay: Decay = 0.0
    weight_decay: Decay = 0.0
    initial_accumulator_value: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    eps: Epsilon = 1e-10


class RMSprop(OptimizerBase):
    """Step divided by a running root mean square of gradients, seeded with zero as torch does."""

    target = "torch.optim:RMSprop"
    left_out = NO_FUSED
    rate_scaling = "recent"
    running_means = ("alpha",)
    formula = "v = alpha*v + (1-alpha)*g^2;  p -= lr * g / (sqrt(v) + eps)"
    paper = "Tieleman & Hinton 2012, Coursera lecture 6.5"

    kind: Literal["rmsprop"] = "rmsprop"
    lr: Rate = 1e-2
    alpha: Beta = 0.99
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0
    momentum: Beta = 0.0
    centered: bool = False

    def state_size(self) -> float:
        """A second moment, and a momentum and a mean if asked for."""
        return 1 + bool(self.momentum) + self.centered

    def warnings(self) -> Iterator[Problem]:
        """Its denominator is the standard deviation of the gradient."""
        if self.centered:
            detail = "where a gradient hardly changes, its variance goes to 0 and the step grows without bound."
            yield Problem("/centered", "may_diverge", detail)


class Adadelta(OptimizerBase):
    """Steps of the size of past steps, so that the gradient's unit does not matter; lr scales them and may stay 1."""

    target = "torch.optim:Adadelta"
    left_out = NO_FUSED
    rate_scaling = "recent"
    running_means = ("rho",)
    formula = "d = sqrt(u + eps) / sqrt(v + eps) * g;  u = rho*u + (1-rho)*d^2;  p -= lr*d"
    paper = "Zeiler 2012, arXiv:1212.5701"

    kind: Literal["adadelta"] = "adadelta"
    lr: Rate = 1.0
    rho: Beta = 0.9
    eps: Epsilon = 1e-6
    weight_decay: Decay = 0.0


class Adafactor(OptimizerBase):
    """Second moments of a matrix kept as a row and a column; lr is relative: multiplied by the parameter's own size.

    The rate is also at most 1/sqrt(t), and the update's root mean square at most `d`. Decoupled weight decay.
    """

    target = "torch.optim:Adafactor"
    left_out = policy("foreach")
    state_per_parameter = 0.1  # a row and a column for a matrix
    decoupled = True
    formula = "p -= max(eps[1], rms(p)) * min(lr, 1/sqrt(t)) * u / max(1, rms(u)/d),  u = g / sqrt(v)"
    paper = "Shazeer & Stern 2018, arXiv:1804.04235"

    kind: Literal["adafactor"] = "adafactor"
    lr: Rate = 1e-2
    beta2_decay: Annotated[float, Field(ge=-10, le=0)] = -0.8
    eps: tuple[Epsilon | None, Epsilon] = Field(
        (None, 1e-3), description="for the second moment (null: the type's smallest step) and for the parameter's size"
    )
    d: Annotated[float, Field(ge=1, le=1e6, description="clips the update's root mean square")] = 1.0
    weight_decay: Decay = 0.0


class LectureAdagrad(OptimizerBase):
    """Adagrad as lectures draw it: the root of the mean, not of the sum; a constant gradient gives constant steps."""

    target = "worker.trainer.optim.lecture:LectureAdagrad"
    left_out = {}
    state_per_parameter = 1
    formula = "sigma_t = sqrt(mean of g_0^2 ... g_t^2);  p -= lr * g / sigma_t;  no step where every g was 0"
    paper = "Hung-yi Lee 2021, Machine Learning, When gradient is small; after Duchi et al. 2011"

    kind: Literal["lecture_adagrad"] = "lecture_adagrad"
    lr: Rate = 1e-2


class LectureRMSprop(OptimizerBase):
    """RMSprop as lectures draw it: the first root mean square is the first gradient's size, and the first step lr."""

    target = "worker.trainer.optim.lecture:LectureRMSprop"
    left_out = {}
    rate_scaling = "recent"
    running_means = ("alpha",)
    state_per_parameter = 1
    formula = "sigma_0 = |g_0|;  sigma_t = sqrt(alpha*sigma^2 + (1-alpha)*g^2);  p -= lr * g / sigma_t"
    paper = "Hung-yi Lee 2021, Machine Learning, When gradient is small; after Tieleman & Hinton 2012"

    kind: Literal["lecture_rmsprop"] = "lecture_rmsprop"
    lr: Rate = 1e-2
    alpha: Beta = 0.99


class AdaBound(OptimizerBase):
    """Adam whose rate for each entry is kept between two bounds that close in on SGD's `final_lr`.

    Both bounds follow the schedule: `final_lr` is scaled by the rate of the moment over lr.
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
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    final_lr: Rate = 0.1
    gamma: Annotated[float, Field(gt=0, le=1)] = 1e-3
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0
    amsbound: bool = False
