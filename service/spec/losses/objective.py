"""The loss of an analytic objective."""

from typing import Literal

from service.spec.losses.base import LossBase


class Objective(LossBase):
    """The model's output itself, for models that are functions to minimise."""

    target = "worker.trainer.step.losses:ObjectiveValue"
    left_out = {}
    tasks = ("objective",)

    kind: Literal["objective"] = "objective"
