"""Optimizers of other packages: the worker needs the extra `optim` for them."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Beta, Integer, Json
from service.spec.optimizers.base import Betas, Epsilon, LearningRate, OptimizerBase, WeightDecay, policy

Setting = bool | Integer | float | Annotated[str, Field(max_length=64)] | None
Settings = Annotated[
    dict[Annotated[str, Field(pattern=r"^[a-zA-Z][a-zA-Z0-9_]{0,63}$")], Setting | tuple[float, ...]],
    Field(max_length=32),
]
OURS = {"foreach", "fused", "maximize", "capturable", "differentiable", "params"}
WarmupSteps = Annotated[int, Field(ge=0, le=10**8, description="updates over which the rate rises linearly")]


class ScheduleFreeBase(OptimizerBase):
    """An optimizer of the package schedulefree: it averages the weights and needs no decaying rate."""

    needs = ("schedulefree",)
    left_out = {"foreach": "an implementation switch: the worker's policy, recorded with the attempt"}
    constant_rate_reason = "it is made for a constant rate, with warmup_steps of its own"

    weight_decay: WeightDecay = 0.0
    r: Annotated[float, Field(ge=0, le=100, description="the average weights update t by t^r")] = 0.0
    weight_lr_power: Annotated[
        float, Field(ge=0, le=100, description="the average also weights it by the largest rate so far to this power")
    ] = 2.0


class ScheduleFreeSGD(ScheduleFreeBase):
    """Schedule-free SGD: averages its weights instead of decaying the rate. Validation uses the average."""

    usual_lr = 1.0
    target = "schedulefree:SGDScheduleFree"
    rate_scaling = "shared"
    state_per_parameter = 1
    formula = "y = (1-momentum)*z + momentum*x;  z -= lr*g(y);  x = mean of z, weighted"
    paper = "Defazio et al. 2024, arXiv:2405.15682"

    kind: Literal["schedule_free_sgd"] = "schedule_free_sgd"
    lr: LearningRate = 1.0
    momentum: Annotated[float, Field(gt=0, lt=1, description="share of the average in the point of the gradient")] = 0.9
    warmup_steps: WarmupSteps = 0


class ScheduleFreeAdamBase(ScheduleFreeBase):
    """A schedule-free Adam."""

    rate_scaling = "recent"
    decoupled = True

    lr: LearningRate = 2.5e-3
    betas: tuple[Annotated[float, Field(gt=0, lt=1)], Beta] = Field(
        (0.9, 0.999),
        description="share of the average in the point of the gradient, and decay rate of the mean squared gradient",
    )
    eps: Epsilon = 1e-8


class ScheduleFreeAdamW(ScheduleFreeAdamBase):
    """Schedule-free AdamW: averages its weights instead of decaying the rate. Validation uses the average."""

    target = "schedulefree:AdamWScheduleFree"
    formula = (
        "y = (1-beta1)*z + beta1*x;  z -= lr*(g(y) / (sqrt(v_hat) + eps) + weight_decay*y);  x = mean of z, weighted"
    )
    paper = "Defazio et al. 2024, arXiv:2405.15682"

    kind: Literal["schedule_free_adamw"] = "schedule_free_adamw"
    warmup_steps: WarmupSteps = 0


class ScheduleFreeRAdam(ScheduleFreeAdamBase):
    """Schedule-free RAdam: averages its weights; needs neither a schedule nor a warmup."""

    target = "schedulefree:RAdamScheduleFree"
    constant_rate_reason = "it is made for a constant rate, and its rectification is its warmup"
    formula = "the update of RAdam at y = (1-beta1)*z + beta1*x;  x = mean of z, weighted"
    paper = "Defazio et al. 2024, arXiv:2405.15682; Liu et al. 2020, arXiv:1908.03265"

    kind: Literal["schedule_free_radam"] = "schedule_free_radam"
    silent_sgd_phase: bool = Field(
        True, description="true: skip updates until the variance can be estimated; false: use plain SGD until then"
    )


class Lion(OptimizerBase):
    """Lion: steps by the sign of the momentum. Use a third to a tenth of the rate that suits AdamW."""

    target = "pytorch_optimizer:Lion"
    needs = ("pytorch-optimizer",)
    left_out = policy("foreach", "kwargs") | dict.fromkeys(("weight_decouple", "fixed_decay"), "decay is the paper's")
    rate_scaling = "shared"
    state_per_parameter = 1
    decoupled = True
    formula = "p -= lr*weight_decay*p;  p -= lr*sign(beta1*m + (1-beta1)*g);  m = beta2*m + (1-beta2)*g"
    paper = "Chen et al. 2023, arXiv:2302.06675"

    kind: Literal["lion"] = "lion"
    lr: LearningRate = 1e-4
    betas: Betas = (0.9, 0.99)
    weight_decay: WeightDecay = 0.0


class PytorchOptimizer(OptimizerBase):
    """An optimizer of the package pytorch-optimizer, by its name there. `settings` holds its other arguments.

    Only optimizers that need one gradient per update and no access to the model are offered, under a permissive
    licence. The run fails if the package does not know a setting.
    """

    target = "worker.trainer.optim.third_party:pytorch_optimizer"
    needs = ("pytorch-optimizer",)
    left_out = {}
    paper = "the package's documentation names each one's: https://pytorch-optimizers.readthedocs.io"

    kind: Literal["pytorch_optimizer"] = "pytorch_optimizer"
    name: Literal[
        "adabelief", "adai", "adamod", "adamp", "adan", "adanorm", "ademamix", "adopt", "amos", "apollo", "avagrad",
        "came", "diffgrad", "exadam", "fadam", "fira", "galore", "grams", "kate", "lamb", "laprop", "lars", "lion",
        "mars", "msvag", "novograd", "padam", "pid", "pnm", "prodigy", "qhadam", "qhm", "ranger", "sgdp", "sgdw",
        "shampoo", "signsgd", "sm3", "soap", "splus", "stableadamw", "swats", "tiger", "yogi",
    ] = Field(description="name in the package")  # fmt: skip
    settings: Settings = Field({}, description="further arguments of the optimizer")

    def group(self) -> Json:
        """Return the rate and the settings: the package stores each argument in the group."""
        return {"lr": self.lr} | self.settings

    def problems(self) -> Iterator[Problem]:
        """Yield settings that belong elsewhere, or that the worker chooses."""
        if "lr" in self.settings:
            yield Problem("/settings/lr", "contradiction", "the rate is /optimizer/lr: leave it out here.")
        for name in sorted(OURS & set(self.settings)):
            yield Problem(f"/settings/{name}", "unknown_field", "how it is computed is the worker's to choose.")
