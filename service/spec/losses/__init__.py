"""The losses, in files by task: every class of these files with a kind is in the union."""

from typing import TYPE_CHECKING

from service.spec.losses import binary, classification, objective, regression
from service.spec.losses.base import CLASS_TASKS, Loss_, LossBase, Task
from service.spec.losses.classification import CrossEntropy
from service.spec.losses.regression import MSE
from service.spec.plugins import family_union

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
    Loss = family_union("loss", LossBase, classification, binary, regression, objective)

__all__ = ["CLASS_TASKS", "LEFT_OUT", "MSE", "CrossEntropy", "Loss", "LossBase", "Loss_", "Task"]
