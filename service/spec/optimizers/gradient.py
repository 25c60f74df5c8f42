"""Optimizers that do not divide by the size of past gradients: SGD, averaged SGD, Rprop, L-BFGS, Muon."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Count, PositiveRate
from service.spec.layout import Parameter
from service.spec.optimizers.base import NO_FUSED, Epsilon, LearningRate, Momentum, OptimizerBase, WeightDecay, policy

Tolerance = Annotated[float, Field(ge=0, le=1)]
StepSize = Annotated[float, Field(gt=0, le=1e6)]


class SGD(OptimizerBase):
    """Stochastic gradient descent with optional momentum. Weight decay is added to the gradient (L2 regularisation)."""

    target = "torch.optim:SGD"
    left_out = policy("foreach", "fused", "differentiable")
    rate_scaling = "shared"
    usual_lr = 1e-2
    fused_on = ("cuda",)
    sparse = True
    formula = "buf = momentum*buf + (1-dampening)*g;  p -= lr*buf"
    paper = "Sutskever et al. 2013, On the importance of initialization and momentum in deep learning"

    kind: Literal["sgd"] = "sgd"
    momentum: Momentum = 0.0
    dampening: Annotated[float, Field(ge=0, le=1, description="share of each gradient kept out of the momentum")] = 0.0
    weight_decay: WeightDecay = 0.0
    nesterov: bool = Field(False, description="use Nesterov momentum")

    def state_size(self) -> float:
        """Return 1 for the momentum buffer, if there is one."""
        return 1 if self.momentum else 0

    def problems(self) -> Iterator[Problem]:
        """Yield settings that act on a momentum of 0, or that Nesterov momentum does not allow."""
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


class ASGD(OptimizerBase):
    """Averaged SGD: the rate decays, and the weights are averaged. /average kind asgd evaluates the average.

    As in torch, a rate that the schedule sets takes effect one update later.
    """

    target = "torch.optim:ASGD"
    left_out = NO_FUSED
    counts_on_device = True
    rate_scaling = "shared"
    usual_lr = 1e-2
    state_per_parameter = 1
    formula = "p = p*(1 - lambd*eta) - eta*g;  eta = lr / (1 + lambd*lr*t)^alpha"
    paper = "Polyak & Juditsky 1992, SIAM J. Control Optim. 30"

    kind: Literal["asgd"] = "asgd"
    lr: LearningRate = 1e-2
    lambd: Annotated[float, Field(ge=0, le=1, description="decay term of the rate and of the weights")] = 1e-4
    alpha: Annotated[float, Field(ge=0, le=10, description="power of the rate's decay")] = 0.75
    t0: Annotated[float, Field(ge=0, le=1e12, description="update after which averaging starts")] = 1e6
    weight_decay: WeightDecay = 0.0

    @property
    def averages_after(self) -> float:
        """The update after which averaging starts."""
        return self.t0


class Rprop(OptimizerBase):
    """Resilient backpropagation: each parameter has a step size, which grows while the gradient keeps its sign."""

    usual_lr = 1e-2
    target = "torch.optim:Rprop"
    left_out = NO_FUSED
    full_batch_reason = "the sign of a gradient changes from batch to batch, and steps shrink for no reason"
    constant_rate_reason = "lr is the first step size only"
    formula = "eta *= etas[1] if g*g_before > 0 else etas[0] if < 0, within step_sizes;  p -= sign(g)*eta"
    paper = "Riedmiller & Braun 1993, IEEE ICNN"

    kind: Literal["rprop"] = "rprop"
    lr: PositiveRate = Field(1e-2, description="the first step size")
    etas: tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(gt=1, le=10)]] = Field(
        (0.5, 1.2), description="factors of the step size when the sign of the gradient changes, and when it stays"
    )
    step_sizes: tuple[StepSize, StepSize] = Field((1e-6, 50.0), description="smallest and largest step size")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for step sizes in the wrong order, which torch accepts."""
        if self.step_sizes[0] >= self.step_sizes[1]:
            yield Problem("/step_sizes", "contradiction", "the smallest comes first, and below the largest.")


class LBFGS(OptimizerBase):
    """L-BFGS, a quasi-Newton method. Evaluates the gradient several times per update; use the full batch.

    The recorded loss is the one at the start of an update. The series gradient_evaluations counts the evaluations.
    """

    usual_lr = 1.0
    target = "torch.optim:LBFGS"
    left_out = {}
    rate_scaling = "shared"
    needs_closure = True
    full_batch_reason = "the curvature is taken from differences of gradients, which must be of the same rows"
    formula = "p -= t*H*g, with H from the last changes of p and g, and t = lr or found by a line search"
    paper = "Liu & Nocedal 1989, Mathematical Programming 45"

    kind: Literal["lbfgs"] = "lbfgs"
    lr: LearningRate = 1.0
    max_iter: Annotated[int, Field(ge=1, le=10_000)] = Field(20, description="iterations per update")
    max_eval: Count | None = Field(None, description="gradient evaluations per update; null: 1.25 max_iter")
    tolerance_grad: Tolerance = Field(1e-7, description="end the update when the largest gradient entry is below this")
    tolerance_change: Tolerance = Field(
        1e-9, description="end the update when loss or weights change by less than this"
    )
    history_size: Annotated[int, Field(ge=1, le=10_000)] = Field(100, description="past updates that are kept")
    line_search_fn: Literal["strong_wolfe"] | None = Field(None, description="line search; null: steps of length lr")

    def state_size(self) -> float:
        """Return 2 for each past update kept, and 3 for other vectors."""
        return 2 * min(self.history_size, self.max_iter) + 3

    def warnings(self) -> Iterator[Problem]:
        """Yield a warning about steps without a line search."""
        if self.line_search_fn is None:
            detail = "without a line search a step may go uphill and the loss diverge: strong_wolfe is usual."
            yield Problem("/line_search_fn", "may_diverge", detail)


class Muon(OptimizerBase):
    """Muon: momentum, orthogonalised for each weight matrix by Newton-Schulz iterations. Weight decay is decoupled.

    It updates matrices only and is meant for hidden layers: give other parameters to another optimizer in `groups`.
    """

    usual_lr = 2e-2
    target = "torch.optim:Muon"
    left_out = {}
    rate_scaling = "shared"
    state_per_parameter = 1
    decoupled = True
    formula = "M = momentum*M + (1-momentum)*g;  p -= lr*weight_decay*p;  p -= lr*scale*orthogonal(M)"
    paper = "Jordan et al. 2024, Muon; Liu et al. 2025, arXiv:2502.16982 (match_rms_adamw)"

    kind: Literal["muon"] = "muon"
    weight_decay: WeightDecay = 0.1
    momentum: Momentum = 0.95
    nesterov: bool = Field(True, description="use Nesterov momentum")
    ns_coefficients: tuple[float, float, float] = Field(
        (3.4445, -4.775, 2.0315), description="coefficients of the Newton-Schulz polynomial"
    )
    eps: Epsilon = 1e-7
    ns_steps: Annotated[int, Field(ge=1, lt=100, description="Newton-Schulz iterations")] = 5
    adjust_lr_fn: Literal["original", "match_rms_adamw"] | None = Field(
        None,
        description="scale of an A x B update; original or null: sqrt(max(1, A/B)); match_rms_adamw: as AdamW's",
    )

    def refusal(self, parameter: Parameter) -> str:
        """Return a reason for every parameter that is not a matrix."""
        if len(parameter.shape) != 2:
            rule = '{"match": {"dim_lt": 2}, "optimizer": {"kind": "adamw"}}'
            if len(parameter.shape) > 2:
                rule = f'{{"match": {{"dim": {len(parameter.shape)}}}, "optimizer": {{"kind": "adamw"}}}}'
            return f"muon steps matrices, and its shape is {list(parameter.shape)}: add the rule {rule} to /groups"
        return super().refusal(parameter)
