"""Adam and its variants: steps along a running mean of gradients, divided by the root of a running mean square."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.layout import Parameter
from service.spec.optimizers.base import (
    ALL_SWITCHES,
    NO_FUSED,
    AMSGrad,
    Betas,
    Decoupled,
    Epsilon,
    LearningRate,
    OptimizerBase,
    WeightDecay,
    policy,
)


class MomentsBase(OptimizerBase):
    """An optimizer with running means of the gradient and of its square."""

    left_out = NO_FUSED
    rate_scaling = "recent"

    betas: Betas = (0.9, 0.999)
    eps: Epsilon = 1e-8


class AdamBase(MomentsBase):
    """An Adam with weight decay."""

    weight_decay: WeightDecay = 0.0


class Adam(AdamBase):
    """Adam. Weight decay is added to the gradient (L2 regularisation)."""

    target = "torch.optim:Adam"
    left_out = ALL_SWITCHES | {"decoupled_weight_decay": "choose adamw, which is the same thing by its own name"}
    fused_on = ("cpu", "cuda")
    formula = "p -= lr * m_hat / (sqrt(v_hat) + eps)"
    paper = "Kingma & Ba 2015, arXiv:1412.6980; Reddi et al. 2018, arXiv:1904.09237 (amsgrad)"

    kind: Literal["adam"] = "adam"
    amsgrad: AMSGrad = False


class AdamW(AdamBase):
    """Adam with decoupled weight decay: each step first multiplies the weights by 1 - lr * weight_decay."""

    target = "torch.optim:AdamW"
    left_out = ALL_SWITCHES
    fused_on = ("cpu", "cuda")
    decoupled = True
    formula = "p -= lr * weight_decay * p;  p -= lr * m_hat / (sqrt(v_hat) + eps)"
    paper = "Loshchilov & Hutter 2019, arXiv:1711.05101"

    kind: Literal["adamw"] = "adamw"
    weight_decay: WeightDecay = 1e-2
    amsgrad: AMSGrad = False


class Adamax(AdamBase):
    """Adam that divides by a decaying maximum of the gradient instead of the root mean square."""

    target = "torch.optim:Adamax"
    formula = "u = max(beta2*u, |g| + eps);  p -= lr / (1 - beta1^t) * m / u"
    paper = "Kingma & Ba 2015, arXiv:1412.6980, section 7.1"

    kind: Literal["adamax"] = "adamax"
    lr: LearningRate = 2e-3


class NAdam(AdamBase):
    """Adam with Nesterov momentum."""

    target = "torch.optim:NAdam"
    counts_on_device = True
    formula = "mu_t = beta1*(1 - 0.5*0.96^(t*momentum_decay));  m_hat mixes g by mu_t and m by mu_(t+1)"
    paper = "Dozat 2016, Incorporating Nesterov Momentum into Adam"

    kind: Literal["nadam"] = "nadam"
    lr: LearningRate = 2e-3
    momentum_decay: Annotated[
        float, Field(ge=0, le=1, description="how fast the momentum warms up to its final value, beta1")
    ] = 4e-3
    decoupled_weight_decay: Decoupled = False


class RAdam(AdamBase):
    """Adam without a need for warmup: the first updates follow the mean gradient alone.

    It divides by the root mean square only once enough gradients have been seen to estimate it (5 updates).
    """

    target = "torch.optim:RAdam"
    formula = "p -= lr * r_t * m_hat / (sqrt(v_hat) + eps) once rho_t > 5, else p -= lr * m_hat"
    paper = "Liu et al. 2020, arXiv:1908.03265"

    kind: Literal["radam"] = "radam"
    decoupled_weight_decay: Decoupled = False


class SparseAdam(MomentsBase):
    """Adam for an Embedding(sparse=True): updates only the rows that a batch looked up, and their moments."""

    target = "torch.optim:SparseAdam"
    left_out = policy()
    sparse = True
    formula = "as adam, on the rows present in the gradient"
    paper = "Kingma & Ba 2015, arXiv:1412.6980"

    kind: Literal["sparse_adam"] = "sparse_adam"

    def refusal(self, parameter: Parameter) -> str:
        """Return a reason for every parameter whose gradient is not sparse."""
        if parameter.sparse:
            return ""
        return (
            "sparse_adam steps the weight of an Embedding(sparse=True) only: "
            'put another kind into /optimizer, and sparse_adam into a rule like {"match": {"module": "Embedding"}}'
        )
