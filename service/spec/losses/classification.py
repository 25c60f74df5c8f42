"""Losses for any number of classes, with one output per class."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Share
from service.spec.losses.base import (
    CLASS_TASKS,
    REDUCTION,
    ClassWeights,
    LossBase,
    Margin,
    Power,
    Task,
    applied_inside,
)

SOFTMAX_TWICE = (
    "cross_entropy has the softmax inside, and /model ends in one: the loss could not fall below {floor:.3f}; "
    "drop the model's last layer."
)


class CrossEntropy(LossBase):
    """Softmax and negative log-likelihood in one. Takes logits; targets are classes or class probabilities."""

    target = "torch.nn:CrossEntropyLoss"
    left_out = REDUCTION
    tasks = ("classification", "distribution", "language")
    zero_minimum = True
    tensor_fields = ("weight",)
    refused_last_layers = {"Softmax": SOFTMAX_TWICE}
    formula = "-log softmax(logits)[target]; with weights the mean is weighted too, where targets are classes"

    kind: Literal["cross_entropy"] = "cross_entropy"
    weight: ClassWeights = None
    ignore_index: Annotated[int, Field(ge=-100, le=10**6)] = Field(
        -100,
        description="token id whose positions are left out of the loss, such as padding; -100: none; language only",
    )
    label_smoothing: Share = Field(0.0, description="probability mass spread evenly over all classes")

    def minimum(self, classes: int) -> float | None:
        """Return the entropy of the smoothed target, which is 0 without label smoothing."""
        if not self.label_smoothing or classes < 2:
            return 0.0
        other = self.label_smoothing / classes
        own = 1 - self.label_smoothing + other
        return -own * math.log(own) - (classes - 1) * other * math.log(other)

    def task_problems(self, task: Task, classes: int) -> Iterator[Problem]:
        """Yield a problem for an ignored class outside of language tasks, where every row counts."""
        yield from super().task_problems(task, classes)
        if self.ignore_index != -100 and task != "language":
            detail = f"every row of a {task} task counts: leave it at -100."
            yield Problem("/ignore_index", "contradiction", detail)


class KLDiv(LossBase):
    """Kullback-Leibler divergence of the model's distribution from the target's. Takes logits or log-probabilities.

    Targets are class probabilities, or classes that `smoothing` turns into probabilities. The gradient equals that of
    cross_entropy; the value is lower by the entropy of the targets, so its minimum is 0.
    """

    target = "worker.trainer.step.losses:KLDiv"
    left_out = {}
    tasks = CLASS_TASKS
    zero_minimum = True
    refused_last_layers = {
        "Softmax": "kl_div has the softmax inside, and /model ends in one: drop it, or end in LogSoftmax."
    }
    formula = "sum over classes of q (log q - log softmax(logits)), 0 where q is 0; the mean over rows (batchmean)"
    paper = "Kullback & Leibler 1951, Annals of Mathematical Statistics 22; smoothing: Szegedy et al. 2016, eq. 5"

    kind: Literal["kl_div"] = "kl_div"
    log_target: bool = Field(False, description="whether the target columns hold log-probabilities")
    smoothing: Share | None = Field(
        None, description="label smoothing for class targets: q = 1 - smoothing, plus smoothing / classes everywhere"
    )

    def task_problems(self, task: Task, classes: int) -> Iterator[Problem]:
        """Yield a problem unless smoothing is given for classes, and only for them."""
        yield from super().task_problems(task, classes)
        if task == "classification" and self.smoothing is None:
            detail = (
                "/dataset has classes and no distributions: set this (0.1 is usual) to make one of each class, take a "
                "dataset of the task distribution, or use cross_entropy."
            )
            yield Problem("/smoothing", "missing", detail)
        elif task == "distribution" and self.smoothing is not None:
            yield Problem("/smoothing", "contradiction", "/dataset has distributions already: leave it out.")
        if task == "classification" and self.log_target:
            yield Problem("/log_target", "contradiction", "/dataset has classes, not logarithms: leave it false.")


class NLL(LossBase):
    """Negative log-likelihood of log-probabilities, for a model that ends in LogSoftmax."""

    target = "torch.nn:NLLLoss"
    left_out = REDUCTION | {"ignore_index": "every row counts"}
    tasks = ("classification",)
    zero_minimum = True
    tensor_fields = ("weight",)
    required_last_layer = "LogSoftmax"
    formula = "-outputs[target]"

    kind: Literal["nll"] = "nll"
    weight: ClassWeights = None


class SoftmaxMSE(LossBase):
    """Squared error between softmax probabilities and the one-hot class (Brier score).

    Its gradient vanishes where the softmax saturates: at logits (-10, 10, -1000) and class 0 the gradient's norm is
    1.17e-8, and cross-entropy's is 1.41. Use cross_entropy unless you want to study this.
    """

    target = "worker.trainer.step.losses:SoftmaxMSE"
    left_out = {}
    tasks = ("classification",)
    zero_minimum = True
    refused_last_layers = {"Softmax": applied_inside("softmax_mse", "softmax")}
    formula = "sum over classes of (softmax(logits)[k] - [k = target])^2"
    paper = "Brier 1950, Monthly Weather Review 78"

    kind: Literal["softmax_mse"] = "softmax_mse"


class OneHotMSE(LossBase):
    """Squared error between the outputs and the one-hot class: least squares on classes, without a softmax."""

    target = "worker.trainer.step.losses:OneHotMSE"
    left_out = {}
    tasks = ("classification",)
    zero_minimum = True
    formula = "(outputs[k] - [k = target])^2, the mean over classes: torch's MSELoss on one-hot targets"
    paper = "Hui & Belkin 2021, arXiv:2006.07322"

    kind: Literal["one_hot_mse"] = "one_hot_mse"


class MultiMargin(LossBase):
    """Multi-class hinge loss: the logit of the right class should exceed every other logit by `margin`."""

    target = "torch.nn:MultiMarginLoss"
    left_out = REDUCTION
    tasks = ("classification",)
    zero_minimum = True
    tensor_fields = ("weight",)
    formula = "sum over k != target of max(0, margin - z[target] + z[k])^p / classes"
    paper = "Crammer & Singer 2001, JMLR 2 (which takes the largest in place of the sum)"

    kind: Literal["multi_margin"] = "multi_margin"
    p: Power = 1
    margin: Margin = 1.0
    weight: ClassWeights = None
