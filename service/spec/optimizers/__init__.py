"""One class per optimizer, then the union. Defaults are torch's, or the package's that the target names."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from service.spec.optimizers.adaptive import (
    AdaBound,
    Adadelta,
    Adafactor,
    Adagrad,
    LectureAdagrad,
    LectureRMSprop,
    RMSprop,
)
from service.spec.optimizers.base import Optimizer_
from service.spec.optimizers.gradient import ASGD, LBFGS, SGD, Muon, Rprop
from service.spec.optimizers.library import PytorchOptimizer, ScheduleFreeAdamW, ScheduleFreeSGD
from service.spec.optimizers.moments import Adam, Adamax, AdamW, NAdam, RAdam, SparseAdam
from service.spec.plugins import extended

Optimizer = Annotated[
    SGD | Adam | AdamW | Adamax | NAdam | RAdam | Adagrad | Adadelta | RMSprop | Rprop | ASGD | LBFGS | SparseAdam
    | Adafactor | Muon | LectureAdagrad | LectureRMSprop | AdaBound
    | ScheduleFreeSGD | ScheduleFreeAdamW | PytorchOptimizer,
    Field(discriminator="kind"),
]  # fmt: skip

if not TYPE_CHECKING:
    Optimizer = extended("optimizer", Optimizer, Optimizer_)

__all__ = [
    "ASGD",
    "LBFGS",
    "SGD",
    "AdaBound",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "LectureAdagrad",
    "LectureRMSprop",
    "Muon",
    "NAdam",
    "Optimizer",
    "Optimizer_",
    "PytorchOptimizer",
    "RAdam",
    "RMSprop",
    "Rprop",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "SparseAdam",
]
