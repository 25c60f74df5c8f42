"""The losses, one class each, then their union. Each is the mean over the batch; likelihoods are in nats."""

import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Component, Share
from service.spec.plugins import family_union

Task = Literal["classification", "distribution", "regression", "language", "objective"]
CLASS_TASKS: tuple[Task, ...] = (
    "classification",
    "distribution",
)  # one output a class: a row has one class, or a share of each
REDUCTION = {
    "reduction": "the mean over the batch, always",
    "reduce": "torch's old name of reduction",
    "size_average": "torch's old name of reduction",
}


class LossBase(Component):
    """A loss: the tasks it fits, and how many outputs it takes from the model."""

    left_out = REDUCTION
    renamed = {
        "counts": "count_data",
        "end_misfits": "last_layer_problems",
        "ends": "refused_last_layers",
        "misfits": "task_problems",
        "needs_end": "required_last_layer",
        "per_value": "outputs_per_value",
        "tensors": "tensor_fields",
    }
    tasks: ClassVar[tuple[Task, ...]]
    binary: ClassVar[bool] = False  # one output, for exactly two classes
    outputs_per_value: ClassVar[int] = 1  # outputs for each value of a regression
    count_data: ClassVar[bool] = False  # whether the values to predict are counts, which must not be negative
    tensor_fields: ClassVar[tuple[str, ...]] = ()  # fields that its target takes as tensors
    refused_last_layers: ClassVar[dict[str, str]] = {}  # torch class that a model must not end in -> why
    required_last_layer: ClassVar[str] = ""  # torch class that a model must end in

    def task_problems(self, task: Task, classes: int) -> Iterator[Problem]:
        """Yield what does not fit the data although the task does; pointers start at this part."""
        weight = getattr(self, "weight", None)
        wanted = classes if task in CLASS_TASKS else 0
        if weight is not None and len(weight) != wanted:
            if wanted:
                detail = f"{len(weight)} weights for {wanted} classes: give one for each."
                yield Problem("/weight", "wrong_length", detail, limit=wanted)
            else:
                yield Problem(
                    "/weight", "contradiction", f"weights are for classes, and the task is {task}: remove them."
                )

    def last_layer_problems(self, end: str, classes: int) -> Iterator[Problem]:
        """Yield why the loss does not fit a model whose last layer is torch's class `end`; pointers start here."""
        if end in self.refused_last_layers:
            yield Problem(
                "/kind",
                "contradiction",
                self.refused_last_layers[end].format(floor=math.log(1 + (classes - 1) / math.e)),
            )
        elif self.required_last_layer and end != self.required_last_layer:
            fix = f'end /model (kind "sequential") with {self.required_last_layer}, or use cross_entropy'
            yield Problem("/kind", "contradiction", f"{self.kind} takes what {self.required_last_layer} gives: {fix}.")


Loss_ = LossBase  # the old name, kept for plug-ins until 0.3


Weight = Annotated[float, Field(gt=0, le=1e6)]
Weights = Annotated[tuple[Weight, ...], Field(min_length=2, max_length=100_000)]
SOFTMAX_TWICE = (
    "cross_entropy has the softmax inside, and /model ends in one: the loss could not fall below {floor:.3f}; "
    "drop the model's last layer."
)


class CrossEntropy(LossBase):
    """Softmax and negative log-likelihood in one: takes logits; a row's answer is a class, or a share of each."""

    target = "torch.nn:CrossEntropyLoss"
    left_out = REDUCTION
    tasks = ("classification", "distribution", "language")
    tensor_fields = ("weight",)
    refused_last_layers = {"Softmax": SOFTMAX_TWICE}
    formula = "-log softmax(logits)[target]; with weights the mean is weighted too, where targets are classes"

    kind: Literal["cross_entropy"] = "cross_entropy"
    weight: Weights | None = Field(None, description="one for each class")
    ignore_index: Annotated[int, Field(ge=-100, le=10**6)] = Field(
        -100, description="the token whose positions do not count, such as padding; -100: none; for a language only"
    )
    label_smoothing: Share = 0.0

    def task_problems(self, task: Task, classes: int) -> Iterator[Problem]:
        """Yield a problem for an ignored class outside of language tasks, where every row counts."""
        yield from super().task_problems(task, classes)
        if self.ignore_index != -100 and task != "language":
            detail = f"every row of a {task} task counts: leave it at -100."
            yield Problem("/ignore_index", "contradiction", detail)


class KLDiv(LossBase):
    """How far the model's distribution is from a row's own: takes logits, or LogSoftmax's log-probabilities.

    Rows have distributions where a table's columns hold one, or where `smoothing` makes one of a class. It differs from
    cross_entropy by the entropy of the targets, so its gradient is the same and its least value is 0.
    """

    target = "worker.trainer.step.losses:KLDiv"
    left_out = {}
    tasks = CLASS_TASKS
    refused_last_layers = {
        "Softmax": "kl_div has the softmax inside, and /model ends in one: drop it, or end in LogSoftmax."
    }
    formula = "sum over classes of q (log q - log softmax(logits)), 0 where q is 0; the mean over rows (batchmean)"
    paper = "Kullback & Leibler 1951, Annals of Mathematical Statistics 22; smoothing: Szegedy et al. 2016, eq. 5"

    kind: Literal["kl_div"] = "kl_div"
    log_target: bool = Field(False, description="whether the columns hold logarithms of probabilities")
    smoothing: Share | None = Field(
        None, description="of a row's class: q = 1 - smoothing, and smoothing / classes in all; 0 is cross_entropy"
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
    """Negative log-likelihood of log-probabilities: cross_entropy in two parts, for a model that ends in LogSoftmax."""

    target = "torch.nn:NLLLoss"
    left_out = REDUCTION | {"ignore_index": "every row counts"}
    tasks = ("classification",)
    tensor_fields = ("weight",)
    required_last_layer = "LogSoftmax"
    formula = "-outputs[target]"

    kind: Literal["nll"] = "nll"
    weight: Weights | None = Field(None, description="one for each class")


class SoftmaxMSE(LossBase):
    """Squared error of softmax's probabilities against the one-hot class: the classical mistake, kept to be looked at.

    Far from the answer the softmax is flat, and so is this loss: at logits (-10, 10, -1000) and class 0 its gradient
    has the norm 1.17e-8, cross-entropy's 1.41.
    """

    target = "worker.trainer.step.losses:SoftmaxMSE"
    left_out = {}
    tasks = ("classification",)
    refused_last_layers = {
        "Softmax": "softmax_mse has the softmax inside, and /model ends in one: drop the model's last layer."
    }
    formula = "sum over classes of (softmax(logits)[k] - [k = target])^2"
    paper = "Brier 1950, Monthly Weather Review 78"

    kind: Literal["softmax_mse"] = "softmax_mse"


class MultiMargin(LossBase):
    """Hinge loss for several classes: the right logit shall exceed each other one by `margin`."""

    target = "torch.nn:MultiMarginLoss"
    left_out = REDUCTION
    tasks = ("classification",)
    tensor_fields = ("weight",)
    formula = "sum over k != target of max(0, margin - z[target] + z[k])^p / classes"
    paper = "Crammer & Singer 2001, JMLR 2 (which takes the largest in place of the sum)"

    kind: Literal["multi_margin"] = "multi_margin"
    p: Literal[1, 2] = 1
    margin: Annotated[float, Field(gt=0, le=1e6)] = 1.0
    weight: Weights | None = Field(None, description="one for each class")


class BCEWithLogits(LossBase):
    """Sigmoid and binary cross-entropy in one: takes one logit; for two classes."""

    target = "torch.nn:BCEWithLogitsLoss"
    left_out = REDUCTION | {
        "weight": "it weighs rows by their place in the batch; to weigh classes there is pos_weight"
    }
    tasks = ("classification",)
    binary = True
    tensor_fields = ("pos_weight",)
    refused_last_layers = {
        "Sigmoid": "bce_with_logits has the sigmoid inside, and /model ends in one: drop the model's last layer."
    }
    formula = "-(pos_weight y log sigmoid(z) + (1-y) log(1 - sigmoid(z)))"

    kind: Literal["bce_with_logits"] = "bce_with_logits"
    pos_weight: Weight | None = Field(None, description="of class 1, as against 1 of class 0")


class Hinge(LossBase):
    """The support vector machine's loss: one logit, beyond `margin` on the right side; for two classes."""

    target = "worker.trainer.step.losses:Hinge"
    left_out = {}
    tasks = ("classification",)
    binary = True
    formula = "max(0, margin - s z)^p with s = 2y - 1"
    paper = "Cortes & Vapnik 1995, Machine Learning 20"

    kind: Literal["hinge"] = "hinge"
    p: Literal[1, 2] = 1
    margin: Annotated[float, Field(gt=0, le=1e6)] = 1.0


class SoftMargin(LossBase):
    """The logistic loss with classes -1 and 1: equal to bce_with_logits, by its other name; for two classes."""

    target = "worker.trainer.step.losses:SoftMargin"
    left_out = {}
    tasks = ("classification",)
    binary = True
    refused_last_layers = {
        "Sigmoid": "soft_margin has the sigmoid inside, and /model ends in one: drop the model's last layer."
    }
    formula = "log(1 + exp(-s z)) with s = 2y - 1"

    kind: Literal["soft_margin"] = "soft_margin"


class MSE(LossBase):
    """Mean squared error."""

    target = "torch.nn:MSELoss"
    tasks = ("regression",)
    formula = "(prediction - y)^2"

    kind: Literal["mse"] = "mse"


class MAE(LossBase):
    """Mean absolute error; its gradient is a sign, so a constant rate never settles."""

    target = "torch.nn:L1Loss"
    tasks = ("regression",)
    formula = "|prediction - y|"

    kind: Literal["mae"] = "mae"


class Huber(LossBase):
    """Squared near zero, absolute beyond delta."""

    target = "torch.nn:HuberLoss"
    left_out = {"reduction": REDUCTION["reduction"]}
    tasks = ("regression",)
    formula = "0.5 d^2 if |d| <= delta, else delta (|d| - 0.5 delta)"
    paper = "Huber 1964, Annals of Mathematical Statistics 35"

    kind: Literal["huber"] = "huber"
    delta: Annotated[float, Field(gt=0, le=1e6)] = 1.0


class SmoothL1(LossBase):
    """Huber's loss over beta: its slope far away is 1 whatever beta is; beta 0 is mae."""

    target = "torch.nn:SmoothL1Loss"
    tasks = ("regression",)
    formula = "0.5 d^2 / beta if |d| < beta, else |d| - 0.5 beta"
    paper = "Girshick 2015, arXiv:1504.08083"

    kind: Literal["smooth_l1"] = "smooth_l1"
    beta: Annotated[float, Field(ge=0, le=1e6)] = 1.0


class PoissonNLL(LossBase):
    """For counts: the model gives the logarithm of their mean."""

    target = "torch.nn:PoissonNLLLoss"
    left_out = REDUCTION | {
        "log_input": "a model's outputs may be negative, so they are logarithms, always",
        "eps": "used without logarithms only",
    }
    tasks = ("regression",)
    count_data = True
    formula = "exp(z) - y z; with full also Stirling's y log y - y + 0.5 log(2 pi y) where y > 1"

    kind: Literal["poisson_nll"] = "poisson_nll"
    full: bool = False


class GaussianNLL(LossBase):
    """The model gives a mean and the logarithm of a variance for each value: how far off it expects to be."""

    target = "worker.trainer.step.losses:GaussianNLL"
    left_out = {}
    tasks = ("regression",)
    outputs_per_value = 2
    formula = "0.5 (log v + (y - m)^2 / v) with v = max(exp(s), eps); with full also 0.5 log(2 pi)"
    paper = "Nix & Weigend 1994, IEEE ICNN; the logarithm: Kendall & Gal 2017, arXiv:1703.04977"

    kind: Literal["gaussian_nll"] = "gaussian_nll"
    full: bool = False
    eps: Annotated[float, Field(gt=0, le=1)] = 1e-6


class Objective(LossBase):
    """The model's output itself, where the model is a function to minimise."""

    target = "worker.trainer.step.losses:ObjectiveValue"
    left_out = {}
    tasks = ("objective",)

    kind: Literal["objective"] = "objective"


LEFT_OUT = {  # torch's other losses, and why they are not offered
    "AdaptiveLogSoftmaxWithLoss": "it is a last layer with parameters of its own",
    "BCELoss": "bce_with_logits is the same from the logit, and cannot overflow",
    "CTCLoss": "it needs label sequences without alignment",
    "CosineEmbeddingLoss": "it needs pairs of rows",
    "HingeEmbeddingLoss": "it needs distances of pairs; hinge and multi_margin classify",
    "LinearCrossEntropyLoss": "it is a last layer with parameters of its own",
    "MarginRankingLoss": "it needs pairs of rows",
    "MultiLabelMarginLoss": "it needs several labels a row",
    "MultiLabelSoftMarginLoss": "it needs several labels a row",
    "TripletMarginLoss": "it needs triples of rows",
    "TripletMarginWithDistanceLoss": "it needs triples of rows, and code",
}

if TYPE_CHECKING:
    Loss = LossBase
else:
    Loss = family_union("loss", LossBase, sys.modules[__name__])
