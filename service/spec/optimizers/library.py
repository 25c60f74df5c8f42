"""Optimizers of other packages: the worker needs the extra `optim` for them."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Beta, Decay, Epsilon, Json, Rate
from service.spec.optimizers.base import OptimizerBase, policy

Setting = bool | int | float | Annotated[str, Field(max_length=64)] | None
Settings = Annotated[
    dict[Annotated[str, Field(pattern=r"^[a-zA-Z][a-zA-Z0-9_]{0,63}$")], Setting | tuple[float, ...]],
    Field(max_length=32),
]
OURS = {"foreach", "fused", "maximize", "capturable", "differentiable", "params"}
SCHEDULE_FREE = {"foreach": "an implementation switch: the worker's policy, recorded with the attempt"}


class ScheduleFreeSGD(OptimizerBase):
    """SGD that averages its weights as it goes, in place of a falling rate. Validation measures the average."""

    target = "schedulefree:SGDScheduleFree"
    needs = ("schedulefree",)
    left_out = SCHEDULE_FREE
    rate_scaling = "shared"
    constant_rate_reason = "it is made for a constant rate, with warmup_steps of its own"
    state_per_parameter = 1
    formula = "y = (1-momentum)*z + momentum*x;  z -= lr*g(y);  x = mean of z, weighted"
    paper = "Defazio et al. 2024, arXiv:2405.15682"

    kind: Literal["schedule_free_sgd"] = "schedule_free_sgd"
    lr: Rate = 1.0
    momentum: Annotated[float, Field(gt=0, lt=1)] = 0.9
    weight_decay: Decay = 0.0
    warmup_steps: Annotated[int, Field(ge=0, le=10**8)] = 0
    r: Annotated[float, Field(ge=0, le=100, description="the mean weighs update t by t^r")] = 0.0
    weight_lr_power: Annotated[
        float, Field(ge=0, le=100, description="and by the largest rate so far to this power")
    ] = 2.0


class ScheduleFreeAdamW(OptimizerBase):
    """AdamW that averages its weights as it goes, in place of a falling rate. Validation measures the average."""

    target = "schedulefree:AdamWScheduleFree"
    needs = ("schedulefree",)
    left_out = SCHEDULE_FREE
    rate_scaling = "recent"
    constant_rate_reason = ScheduleFreeSGD.constant_rate_reason
    decoupled = True
    formula = (
        "y = (1-beta1)*z + beta1*x;  z -= lr*(g(y) / (sqrt(v_hat) + eps) + weight_decay*y);  x = mean of z, weighted"
    )
    paper = "Defazio et al. 2024, arXiv:2405.15682"

    kind: Literal["schedule_free_adamw"] = "schedule_free_adamw"
    lr: Rate = 2.5e-3
    betas: tuple[Annotated[float, Field(gt=0, lt=1)], Beta] = (0.9, 0.999)
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0
    warmup_steps: Annotated[int, Field(ge=0, le=10**8)] = 0
    r: Annotated[float, Field(ge=0, le=100, description="the mean weighs update t by t^r")] = 0.0
    weight_lr_power: Annotated[
        float, Field(ge=0, le=100, description="and by the largest rate so far to this power")
    ] = 2.0


class ScheduleFreeRAdam(OptimizerBase):
    """RAdam that averages its weights as it goes: it needs neither a schedule nor a warmup."""

    target = "schedulefree:RAdamScheduleFree"
    needs = ("schedulefree",)
    left_out = SCHEDULE_FREE
    rate_scaling = "recent"
    constant_rate_reason = "it is made for a constant rate, and its rectification is its warmup"
    decoupled = True
    formula = "the update of RAdam at y = (1-beta1)*z + beta1*x;  x = mean of z, weighted"
    paper = "Defazio et al. 2024, arXiv:2405.15682; Liu et al. 2020, arXiv:1908.03265"

    kind: Literal["schedule_free_radam"] = "schedule_free_radam"
    lr: Rate = 2.5e-3
    betas: tuple[Annotated[float, Field(gt=0, lt=1)], Beta] = (0.9, 0.999)
    eps: Epsilon = 1e-8
    weight_decay: Decay = 0.0
    r: Annotated[float, Field(ge=0, le=100, description="the mean weighs update t by t^r")] = 0.0
    weight_lr_power: Annotated[
        float, Field(ge=0, le=100, description="and by the largest rate so far to this power")
    ] = 2.0
    silent_sgd_phase: bool = Field(True, description="false: plain SGD until the variance is known; true: no update")


class Lion(OptimizerBase):
    """The sign of the momentum, so every entry moves by the whole rate: take a third to a tenth of AdamW's."""

    target = "pytorch_optimizer:Lion"
    needs = ("pytorch-optimizer",)
    left_out = policy("foreach", "kwargs") | dict.fromkeys(("weight_decouple", "fixed_decay"), "decay is the paper's")
    rate_scaling = "shared"
    state_per_parameter = 1
    decoupled = True
    formula = "p -= lr*weight_decay*p;  p -= lr*sign(beta1*m + (1-beta1)*g);  m = beta2*m + (1-beta2)*g"
    paper = "Chen et al. 2023, arXiv:2302.06675"

    kind: Literal["lion"] = "lion"
    lr: Rate = 1e-4
    betas: tuple[Beta, Beta] = (0.9, 0.99)
    weight_decay: Decay = 0.0


class PytorchOptimizer(OptimizerBase):
    """One of the package pytorch-optimizer, by its name there; `settings` are its further arguments.

    Offered are those that need one gradient an update and nothing of the model, and whose licence allows any use.
    The worker fails a run whose settings the package does not know.
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
    ]  # fmt: skip
    settings: Settings = {}

    def group(self) -> Json:
        """The package keeps each argument in the group."""
        return {"lr": self.lr} | self.settings

    def problems(self) -> Iterator[Problem]:
        """What has a place of its own, or is the worker's to choose."""
        if "lr" in self.settings:
            yield Problem("/settings/lr", "contradiction", "the rate is /optimizer/lr: leave it out here.")
        for name in sorted(OURS & set(self.settings)):
            yield Problem(f"/settings/{name}", "unknown_field", "how it is computed is the worker's to choose.")
