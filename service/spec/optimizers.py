"""One class per optimizer, then the union. Defaults are torch's."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Beta, Component, Decay, Epsilon, Rate


def policy(*switches: str) -> dict[str, str]:
    """What no spec chooses of an optimizer: its direction, and how torch computes it (`switches`)."""
    reason = "an implementation switch: the worker's policy, recorded with the attempt"
    return {"maximize": "losses are minimised here"} | dict.fromkeys(switches, reason)


EVERY = policy("foreach", "fused", "capturable", "differentiable")


class Optimizer_(Component):
    """What every optimizer has: a base rate that the schedule scales."""

    left_out = EVERY

    lr: Rate = 1e-3


class SGD(Optimizer_):
    """Stochastic gradient descent with heavy-ball or Nesterov momentum; weight decay enters the gradient (L2)."""

    target = "torch.optim:SGD"
    left_out = policy("foreach", "fused", "differentiable")
    formula = "buf = momentum*buf + (1-dampening)*g;  p -= lr*buf"
    paper = "Sutskever et al. 2013, On the importance of initialization and momentum in deep learning"

    kind: Literal["sgd"] = "sgd"
    momentum: Beta = 0.0
    dampening: Annotated[float, Field(ge=0, le=1)] = 0.0
    weight_decay: Decay = 0.0
    nesterov: bool = False

    def problems(self) -> Iterator[Problem]:
        """Nesterov's form is defined for undamped momentum only."""
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            yield Problem(
                "/nesterov",
                "contradiction",
                "nesterov needs momentum > 0 and dampening = 0: set momentum (0.9 is usual), or nesterov to false.",
            )
        if self.dampening != 0 and self.momentum == 0:
            yield Problem(
                "/dampening",
                "no_effect",
                "dampening acts on momentum, which is 0: set momentum or drop dampening.",
            )


class Adam(Optimizer_):
    """Adaptive moments; weight decay enters the gradient (L2). amsgrad keeps the largest second moment."""

    target = "torch.optim:Adam"
    left_out = EVERY | {"decoupled_weight_decay": "choose adamw, which is the same thing by its own name"}
    formula = "p -= lr * m_hat / (sqrt(v_hat) + eps)"
    paper = "Kingma & Ba 2015, arXiv:1412.6980; Reddi et al. 2018, arXiv:1904.09237 (amsgrad)"

    kind: Literal["adam"] = "adam"
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0
    amsgrad: bool = False


class AdamW(Optimizer_):
    """Adam with decoupled weight decay: p *= 1 - lr*weight_decay before the step."""

    target = "torch.optim:AdamW"
    formula = "p -= lr * weight_decay * p;  p -= lr * m_hat / (sqrt(v_hat) + eps)"
    paper = "Loshchilov & Hutter 2019, arXiv:1711.05101"

    kind: Literal["adamw"] = "adamw"
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    eps: Epsilon = 1e-8
    weight_decay: Decay = 1e-2
    amsgrad: bool = False


class RMSprop(Optimizer_):
    """Step divided by a running root mean square of gradients, seeded with zero as torch does."""

    target = "torch.optim:RMSprop"
    left_out = policy("foreach", "capturable", "differentiable")
    formula = "v = alpha*v + (1-alpha)*g^2;  p -= lr * g / (sqrt(v) + eps)"
    paper = "Tieleman & Hinton 2012, Coursera lecture 6.5"

    kind: Literal["rmsprop"] = "rmsprop"
    lr: Rate = 1e-2
    alpha: Beta = 0.99
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0
    momentum: Beta = 0.0
    centered: bool = False


class Adagrad(Optimizer_):
    """Step divided by the root of the sum of all squared gradients so far."""

    target = "torch.optim:Adagrad"
    left_out = policy("foreach", "fused", "differentiable")
    formula = "G += g^2;  p -= lr / (1 + (t-1)*lr_decay) * g / (sqrt(G) + eps)"
    paper = "Duchi et al. 2011, JMLR 12"

    kind: Literal["adagrad"] = "adagrad"
    lr: Rate = 1e-2
    lr_decay: Decay = 0.0
    weight_decay: Decay = 0.0
    initial_accumulator_value: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    eps: Epsilon = 1e-10


Optimizer = Annotated[SGD | Adam | AdamW | RMSprop | Adagrad, Field(discriminator="kind")]
