"""What every optimizer has: a base rate that the schedule scales, and facts that the rest of the code reads off it."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from service.errors import Problem
from service.spec.component import Component, Json, Rate
from service.spec.layout import Parameter

RateScaling = Literal["shared", "recent", "sum", "other"]


def policy(*switches: str) -> dict[str, str]:
    """Return the arguments of a torch optimizer that no spec sets: its direction and the implementation `switches`."""
    reason = "an implementation switch: the worker's policy, recorded with the attempt"
    return {"maximize": "losses are minimised here"} | dict.fromkeys(switches, reason)


ALL_SWITCHES = policy("foreach", "fused", "capturable", "differentiable")
NO_FUSED = policy("foreach", "capturable", "differentiable")  # of optimizers that torch has no fused form of


class OptimizerBase(Component):
    """An optimizer: its settings as fields, and as class attributes what checks, probes and diagnoses ask about it."""

    left_out = ALL_SWITCHES
    renamed = {
        "keeps": "state_per_parameter",
        "keeps_rate": "constant_rate_reason",
        "oddities": "warnings",
        "searches": "needs_closure",
        "whole_batches": "full_batch_reason",
    }
    needs_closure: ClassVar[bool] = False  # evaluates the loss several times per update; allows one parameter group
    sparse: ClassVar[bool] = False  # can use the sparse gradient of an Embedding(sparse=True)
    full_batch_reason: ClassVar[str] = ""  # why every update must use all rows; empty: it need not
    constant_rate_reason: ClassVar[str] = ""  # why a schedule is probably a mistake; empty: it is not
    # shared: one rate for all parameters; recent: each rate is divided by the size of recent gradients; sum: by that of
    # all gradients so far; other: each parameter has its own rate by another rule, or nobody knows
    rate_scaling: ClassVar[RateScaling] = "other"
    usual_lr: ClassVar[float] = 1e-3  # a rate that suits most models
    fused_on: ClassVar[tuple[str, ...]] = ()  # devices on which torch's fused form is worth it: cpu, cuda
    running_means: ClassVar[tuple[str, ...]] = ()  # fields beside momentum and betas that are factors of a running mean
    state_per_parameter: ClassVar[float] = 2  # numbers of state per parameter
    decoupled: ClassVar[bool] = False  # weight decay shrinks the weights directly, not through the gradient

    lr: Rate = 1e-3

    @property
    def own_momentum(self) -> float | None:
        """The momentum or first beta; None: it has neither."""
        betas: tuple[float, ...] = getattr(self, "betas", ())
        momentum: float | None = betas[0] if betas else getattr(self, "momentum", None)
        return momentum

    @property
    def averages_after(self) -> float | None:
        """The update after which it keeps a mean of the weights, for /average kind asgd; None: it keeps none."""
        return None

    @property
    def decay_is_decoupled(self) -> bool:
        """Whether its weight decay shrinks the weights directly, by its class or by its settings."""
        return self.decoupled or getattr(self, "decoupled_weight_decay", False)

    def state_size(self) -> float:
        """Return the numbers it keeps per parameter, by its settings."""
        return self.state_per_parameter + bool(getattr(self, "amsgrad", False))

    def refusal(self, parameter: Parameter) -> str:
        """Return why it cannot update this parameter; empty: it can."""
        if parameter.sparse and not self.sparse:
            return "its gradient is sparse: give it to sgd, adagrad or sparse_adam"
        return ""

    def group(self) -> Json:
        """Return its fields as torch keeps them in a parameter group."""
        return self.kwargs()

    def warnings(self) -> Iterator[Problem]:
        """Yield what is allowed and probably a mistake; pointers start at this part."""
        yield from ()


Optimizer_ = OptimizerBase  # the old name, kept for plug-ins until 0.3
