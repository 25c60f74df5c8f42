"""What every optimizer declares: its learning rate, and facts that checks, probes and diagnoses read."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Beta, Component, Decay, Json, Rate
from service.spec.layout import Parameter

LearningRate = Annotated[Rate, Field(description="base learning rate; the schedule scales it")]
Betas = Annotated[
    tuple[Beta, Beta], Field(description="decay rates of the running means of the gradient and of its square")
]
Epsilon = Annotated[float, Field(gt=0, le=1, description="added to the denominator for numerical stability")]
Momentum = Annotated[Beta, Field(description="momentum factor; 0: no momentum")]
WeightDecay = Annotated[Decay, Field(description="weight decay coefficient; 0: none")]
AMSGrad = Annotated[bool, Field(description="divide by the largest second moment so far (AMSGrad)")]
Decoupled = Annotated[bool, Field(description="apply weight decay to the weights directly (as AdamW), not as L2")]
RateScaling = Literal["shared", "recent", "sum", "other"]


def policy(*switches: str) -> dict[str, str]:
    """Return the arguments of a torch optimizer that no spec sets: its direction and the implementation `switches`."""
    reason = "an implementation switch: the worker's policy, recorded with the attempt"
    return {"maximize": "losses are minimised here"} | dict.fromkeys(switches, reason)


ALL_SWITCHES = policy("foreach", "fused", "capturable", "differentiable")
NO_FUSED = policy("foreach", "capturable", "differentiable")  # of optimizers that torch has no fused form of


class OptimizerBase(Component):
    """An optimizer. Fields are its settings; class attributes are facts about its method."""

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
    # shared: one rate for all parameters; recent: each parameter's rate is divided by the size of its recent gradients;
    # sum: by that of all its gradients so far; other: another rule, or unknown
    rate_scaling: ClassVar[RateScaling] = "other"
    usual_lr: ClassVar[float] = 1e-3  # a learning rate that suits most models
    fused_on: ClassVar[tuple[str, ...]] = ()  # devices on which torch's fused implementation is faster: cpu, cuda
    counts_on_device: ClassVar[bool] = (
        False  # on a GPU it would wait for its counters, unless it computes with them there
    )
    running_means: ClassVar[
        tuple[str, ...]
    ] = ()  # fields besides momentum and betas that are decay rates of a running mean
    state_per_parameter: ClassVar[float] = 2  # numbers of state per parameter
    decoupled: ClassVar[bool] = False  # weight decay shrinks the weights directly, not through the gradient

    lr: LearningRate = 1e-3

    @property
    def own_momentum(self) -> float | None:
        """The momentum or first beta; None if it has neither."""
        betas: tuple[float, ...] = getattr(self, "betas", ())
        momentum: float | None = betas[0] if betas else getattr(self, "momentum", None)
        return momentum

    @property
    def averages_after(self) -> float | None:
        """The update after which it averages the weights, for /average kind asgd; None if it does not."""
        return None

    @property
    def decay_is_decoupled(self) -> bool:
        """Whether weight decay shrinks the weights directly, by the class or by a setting."""
        return self.decoupled or getattr(self, "decoupled_weight_decay", False)

    def state_size(self) -> float:
        """Return the numbers of optimizer state per parameter, with these settings."""
        return self.state_per_parameter + bool(getattr(self, "amsgrad", False))

    def refusal(self, parameter: Parameter) -> str:
        """Return why it cannot update this parameter; empty if it can."""
        if parameter.sparse and not self.sparse:
            return "its gradient is sparse: give it to sgd, adagrad or sparse_adam"
        return ""

    def group(self) -> Json:
        """Return its settings as torch stores them in a parameter group."""
        return self.kwargs()

    def warnings(self) -> Iterator[Problem]:
        """Yield what is allowed and probably a mistake; pointers start at this part."""
        yield from ()


Optimizer_ = OptimizerBase  # the old name, kept for plug-ins until 0.3
