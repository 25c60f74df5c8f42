"""Adam and what came of it: steps of a mean gradient, divided by the root of a mean squared one."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.component import Beta, Decay, Epsilon, Rate
from service.spec.layout import Parameter
from service.spec.optimizers.base import ALL_SWITCHES, NO_FUSED, OptimizerBase, policy

Betas = tuple[Beta, Beta]


class Adam(OptimizerBase):
    """Adaptive moments; weight decay enters the gradient (L2). amsgrad keeps the largest second moment."""

    target = "torch.optim:Adam"
    left_out = ALL_SWITCHES | {"decoupled_weight_decay": "choose adamw, which is the same thing by its own name"}
    rate_scaling = "recent"
    fused_on = ("cpu", "cuda")
    formula = "p -= lr * m_hat / (sqrt(v_hat) + eps)"
    paper = "Kingma & Ba 2015, arXiv:1412.6980; Reddi et al. 2018, arXiv:1904.09237 (amsgrad)"

    kind: Literal["adam"] = "adam"
    betas: Betas = (0.9, 0.999)
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0
    amsgrad: bool = False


class AdamW(OptimizerBase):
    """Adam with decoupled weight decay: p *= 1 - lr*weight_decay before the step."""

    target = "torch.optim:AdamW"
    rate_scaling = "recent"
    fused_on = ("cpu", "cuda")
    decoupled = True
    formula = "p -= lr * weight_decay * p;  p -= lr * m_hat / (sqrt(v_hat) + eps)"
    paper = "Loshchilov & Hutter 2019, arXiv:1711.05101"

    kind: Literal["adamw"] = "adamw"
    betas: Betas = (0.9, 0.999)
    eps: Epsilon = 1e-8
    weight_decay: Decay = 1e-2
    amsgrad: bool = False


class Adamax(OptimizerBase):
    """Adam with a decaying largest gradient in place of the second moment."""

    target = "torch.optim:Adamax"
    left_out = NO_FUSED
    rate_scaling = "recent"
    formula = "u = max(beta2*u, |g| + eps);  p -= lr / (1 - beta1^t) * m / u"
    paper = "Kingma & Ba 2015, arXiv:1412.6980, section 7.1"

    kind: Literal["adamax"] = "adamax"
    lr: Rate = 2e-3
    betas: Betas = (0.9, 0.999)
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0


class NAdam(OptimizerBase):
    """Adam that looks one step ahead as Nesterov's momentum does; the look-ahead warms up by `momentum_decay`."""

    target = "torch.optim:NAdam"
    left_out = NO_FUSED
    rate_scaling = "recent"
    formula = "mu_t = beta1*(1 - 0.5*0.96^(t*momentum_decay));  m_hat mixes g by mu_t and m by mu_(t+1)"
    paper = "Dozat 2016, Incorporating Nesterov Momentum into Adam"

    kind: Literal["nadam"] = "nadam"
    lr: Rate = 2e-3
    betas: Betas = (0.9, 0.999)
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0
    momentum_decay: Annotated[float, Field(ge=0, le=1)] = 4e-3
    decoupled_weight_decay: bool = False


class RAdam(OptimizerBase):
    """Adam that steps along the mean gradient alone until the second moment has been seen often enough (5 updates).

    It acts as a warmup of its own.
    """

    target = "torch.optim:RAdam"
    left_out = NO_FUSED
    rate_scaling = "recent"
    formula = "p -= lr * r_t * m_hat / (sqrt(v_hat) + eps) once rho_t > 5, else p -= lr * m_hat"
    paper = "Liu et al. 2020, arXiv:1908.03265"

    kind: Literal["radam"] = "radam"
    betas: Betas = (0.9, 0.999)
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0
    decoupled_weight_decay: bool = False


class SparseAdam(OptimizerBase):
    """Adam for an Embedding(sparse=True): moments change only for the rows that a batch looked up."""

    target = "torch.optim:SparseAdam"
    left_out = policy()
    rate_scaling = "recent"
    sparse = True
    formula = "as adam, on the rows present in the gradient"
    paper = "Kingma & Ba 2015, arXiv:1412.6980"

    kind: Literal["sparse_adam"] = "sparse_adam"
    betas: Betas = (0.9, 0.999)
    eps: Epsilon = 1e-8

    def refusal(self, parameter: Parameter) -> str:
        """It refuses gradients that are not sparse."""
        if parameter.sparse:
            return ""
        return (
            "sparse_adam steps the weight of an Embedding(sparse=True) only: "
            'put another kind into /optimizer, and sparse_adam into a rule like {"match": {"module": "Embedding"}}'
        )
