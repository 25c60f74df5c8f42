"""One class per loss, then the union. Each is the mean over the batch; nats where it is a likelihood."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from service.spec.component import Component, Share

Task = Literal["classification", "regression"]
MEAN = {
    "reduction": "the mean over the batch, always",
    "reduce": "torch's old name of reduction",
    "size_average": "torch's old name of reduction",
}


class Loss_(Component):
    """What a loss asks of its data: `tasks` it fits, and whether its outputs are one per class or one in all."""

    left_out = MEAN
    tasks: ClassVar[tuple[Task, ...]]
    binary: ClassVar[bool] = False  # one output, for exactly two classes


class CrossEntropy(Loss_):
    """Softmax and negative log-likelihood in one: takes logits."""

    target = "torch.nn:CrossEntropyLoss"
    left_out = MEAN | {"weight": "not offered yet", "ignore_index": "no label is ignored here"}
    tasks = ("classification",)
    formula = "-log softmax(logits)[target]"

    kind: Literal["cross_entropy"] = "cross_entropy"
    label_smoothing: Share = 0.0


class BCEWithLogits(Loss_):
    """Sigmoid and binary cross-entropy in one: takes one logit; for two classes."""

    target = "torch.nn:BCEWithLogitsLoss"
    left_out = MEAN | {"weight": "not offered yet", "pos_weight": "not offered yet"}
    tasks = ("classification",)
    binary = True
    formula = "-(y log sigmoid(z) + (1-y) log(1 - sigmoid(z)))"

    kind: Literal["bce_with_logits"] = "bce_with_logits"


class MSE(Loss_):
    """Mean squared error."""

    target = "torch.nn:MSELoss"
    tasks = ("regression",)
    formula = "(prediction - y)^2"

    kind: Literal["mse"] = "mse"


class MAE(Loss_):
    """Mean absolute error; its gradient is a sign, so a constant rate never settles."""

    target = "torch.nn:L1Loss"
    tasks = ("regression",)
    formula = "|prediction - y|"

    kind: Literal["mae"] = "mae"


class Huber(Loss_):
    """Squared near zero, absolute beyond delta."""

    target = "torch.nn:HuberLoss"
    left_out = {"reduction": MEAN["reduction"]}
    tasks = ("regression",)
    formula = "0.5 d^2 if |d| <= delta, else delta (|d| - 0.5 delta)"
    paper = "Huber 1964, Annals of Mathematical Statistics 35"

    kind: Literal["huber"] = "huber"
    delta: Annotated[float, Field(gt=0, le=1e6)] = 1.0


Loss = Annotated[CrossEntropy | BCEWithLogits | MSE | MAE | Huber, Field(discriminator="kind")]
