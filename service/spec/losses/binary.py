"""Losses for two classes, with one logit."""

from typing import Literal

from pydantic import Field

from service.spec.losses.base import REDUCTION, LossBase, Margin, Power, Weight, applied_inside


class BinaryBase(LossBase):
    """A loss of one logit."""

    left_out = {}
    tasks = ("classification",)
    binary = True
    zero_minimum = True


class BCEWithLogits(BinaryBase):
    """Sigmoid and binary cross-entropy in one. Takes one logit; for two classes."""

    target = "torch.nn:BCEWithLogitsLoss"
    left_out = REDUCTION | {
        "weight": "it weighs rows by their place in the batch; to weigh classes there is pos_weight"
    }
    tensor_fields = ("pos_weight",)
    refused_last_layers = {"Sigmoid": applied_inside("bce_with_logits", "sigmoid")}
    formula = "-(pos_weight y log sigmoid(z) + (1-y) log(1 - sigmoid(z)))"

    kind: Literal["bce_with_logits"] = "bce_with_logits"
    pos_weight: Weight | Literal["balanced"] | None = Field(
        None,
        description="weight of class 1; class 0 has 1. balanced: training rows of class 0 / those of class 1; null: 1",
    )


class Hinge(BinaryBase):
    """Hinge loss, as in a support vector machine. Takes one logit; for two classes."""

    target = "worker.trainer.step.losses:Hinge"
    formula = "max(0, margin - s z)^p with s = 2y - 1"
    paper = "Cortes & Vapnik 1995, Machine Learning 20"

    kind: Literal["hinge"] = "hinge"
    p: Power = 1
    margin: Margin = 1.0


class SoftMargin(BinaryBase):
    """Logistic loss with classes -1 and 1; the same values as bce_with_logits. Takes one logit; for two classes."""

    target = "worker.trainer.step.losses:SoftMargin"
    refused_last_layers = {"Sigmoid": applied_inside("soft_margin", "sigmoid")}
    formula = "log(1 + exp(-s z)) with s = 2y - 1"

    kind: Literal["soft_margin"] = "soft_margin"
