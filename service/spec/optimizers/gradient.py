"""Optimizers that follow the gradient itself: plain, with momentum, averaged, by its sign, or along a line search."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Beta, Count, Decay, Epsilon, Rate
from service.spec.layout import Parameter
from service.spec.optimizers.base import NO_FUSED, OptimizerBase, policy

Tolerance = Annotated[float, Field(ge=0, le=1)]
StepSize = Annotated[float, Field(gt=0, le=1e6)]


class SGD(OptimizerBase):
    """Stochastic gradient descent with heavy-ball or Nesterov momentum; weight decay enters the gradient (L2)."""

    target = "torch.optim:SGD"
    left_out = policy("foreach", "fused", "differentiable")
    rate_scaling = "shared"
    usual_lr = 1e-2
    fused_on = ("cuda",)
    sparse = True
    formula = "buf = momentum*buf + (1-dampening)*g;  p -= lr*buf"
    paper = "Sutskever et al. 2013, On the importance of initialization and momentum in deep learning"

    kind: Literal["sgd"] = "sgd"
    momentum: Beta = 0.0
    dampening: Annotated[float, Field(ge=0, le=1)] = 0.0
    weight_decay: Decay = 0.0
    nesterov: bool = False

    def state_size(self) -> float:
        """One number for the momentum, if there is any."""
        return 1 if self.momentum else 0

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


class ASGD(OptimizerBase):
    """SGD whose rate falls by itself; the mean of the weights that it keeps is measured by /average kind asgd.

    As torch computes it, a rate that a schedule sets acts one update later.
    """

    target = "torch.optim:ASGD"
    left_out = NO_FUSED
    rate_scaling = "shared"
    usual_lr = 1e-2
    state_per_parameter = 1
    formula = "p = p*(1 - lambd*eta) - eta*g;  eta = lr / (1 + lambd*lr*t)^alpha"
    paper = "Polyak & Juditsky 1992, SIAM J. Control Optim. 30"

    kind: Literal["asgd"] = "asgd"
    lr: Rate = 1e-2
    lambd: Annotated[float, Field(ge=0, le=1)] = 1e-4
    alpha: Annotated[float, Field(ge=0, le=10)] = 0.75
    t0: Annotated[float, Field(ge=0, le=1e12, description="the update after which the mean begins")] = 1e6
    weight_decay: Decay = 0.0

    @property
    def averages_after(self) -> float:
        """The update after which torch's mean begins."""
        return self.t0


class Rprop(OptimizerBase):
    """Each entry has its own step size, which grows while the gradient keeps its sign and shrinks when it turns."""

    target = "torch.optim:Rprop"
    left_out = NO_FUSED
    full_batch_reason = "the sign of a gradient changes from batch to batch, and steps shrink for no reason"
    constant_rate_reason = "lr is the first step size only"
    formula = "eta *= etas[1] if g*g_before > 0 else etas[0] if < 0, within step_sizes;  p -= sign(g)*eta"
    paper = "Riedmiller & Braun 1993, IEEE ICNN"

    kind: Literal["rprop"] = "rprop"
    lr: Rate = 1e-2
    etas: tuple[Annotated[float, Field(gt=0, lt=1)], Annotated[float, Field(gt=1, le=10)]] = (0.5, 1.2)
    step_sizes: tuple[StepSize, StepSize] = Field((1e-6, 50.0), description="smallest and largest")

    def problems(self) -> Iterator[Problem]:
        """torch accepts them the wrong way round."""
        if self.step_sizes[0] >= self.step_sizes[1]:
            yield Problem("/step_sizes", "contradiction", "the smallest comes first, and below the largest.")


class LBFGS(OptimizerBase):
    """Quasi-Newton steps from the last `history_size` changes; computes the gradient several times an update.

    The loss of a step is the one at its start. How many gradients were computed is the series gradient_evaluations.
    """

    target = "torch.optim:LBFGS"
    left_out = {}
    rate_scaling = "shared"
    needs_closure = True
    full_batch_reason = "the curvature is taken from differences of gradients, which must be of the same rows"
    formula = "p -= t*H*g, with H from the last changes of p and g, and t = lr or found by a line search"
    paper = "Liu & Nocedal 1989, Mathematical Programming 45"

    kind: Literal["lbfgs"] = "lbfgs"
    lr: Rate = 1.0
    max_iter: Annotated[int, Field(ge=1, le=10_000)] = Field(20, description="iterations an update")
    max_eval: Count | None = Field(None, description="gradients an update; null: 1.25 max_iter")
    tolerance_grad: Tolerance = 1e-7
    tolerance_change: Tolerance = 1e-9
    history_size: Annotated[int, Field(ge=1, le=10_000)] = 100
    line_search_fn: Literal["strong_wolfe"] | None = Field(None, description="null: a step of length lr")

    def state_size(self) -> float:
        """The last changes of the parameters and of the gradients, and three vectors beside them."""
        return 2 * min(self.history_size, self.max_iter) + 3

    def warnings(self) -> Iterator[Problem]:
        """A fixed step along a quasi-Newton direction may go uphill."""
        if self.line_search_fn is None:
            detail = "without a line search a step may go uphill and the loss diverge: strong_wolfe is usual."
            yield Problem("/line_search_fn", "may_diverge", detail)


class Muon(OptimizerBase):
    """Momentum whose matrix is made nearly orthogonal by Newton and Schulz's iteration; decoupled weight decay.

    For matrices only, meant for hidden layers: let a rule in `groups` give the rest to another optimizer.
    """

    target = "torch.optim:Muon"
    left_out = {}
    rate_scaling = "shared"
    state_per_parameter = 1
    decoupled = True
    formula = "M = momentum*M + (1-momentum)*g;  p -= lr*weight_decay*p;  p -= lr*scale*orthogonal(M)"
    paper = "Jordan et al. 2024, Muon; Liu et al. 2025, arXiv:2502.16982 (match_rms_adamw)"

    kind: Literal["muon"] = "muon"
    weight_decay: Decay = 0.1
    momentum: Beta = 0.95
    nesterov: bool = True
    ns_coefficients: tuple[float, float, float] = (3.4445, -4.775, 2.0315)
    eps: Epsilon = 1e-7
    ns_steps: Annotated[int, Field(ge=1, lt=100)] = 5
    adjust_lr_fn: Literal["original", "match_rms_adamw"] | None = Field(
        None,
        description="scale by the matrix's shape A x B: sqrt(max(1, A/B)), which null means too; or as AdamW's size",
    )

    def refusal(self, parameter: Parameter) -> str:
        """Only a matrix can be made orthogonal."""
        if len(parameter.shape) != 2:
            rule = '{"match": {"dim_lt": 2}, "optimizer": {"kind": "adamw"}}'
            if len(parameter.shape) > 2:
                rule = f'{{"match": {{"dim": {len(parameter.shape)}}}, "optimizer": {{"kind": "adamw"}}}}'
            return f"muon steps matrices, and its shape is {list(parameter.shape)}: add the rule {rule} to /groups"
        return super().refusal(parameter)
