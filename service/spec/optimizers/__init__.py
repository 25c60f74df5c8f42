"""The optimizers: every class that the files of this folder hold. Defaults are torch's, or the package's of the target.

A new one is a class in one of these files and nothing else: the union, the catalogue, the API's description and the
tests, which are parametrised over the union, find it there.
"""

from typing import TYPE_CHECKING

from service.spec.optimizers import adam, adaptive, gradient, library
from service.spec.optimizers.adam import AdamW, SparseAdam
from service.spec.optimizers.base import OptimizerBase
from service.spec.optimizers.gradient import SGD
from service.spec.optimizers.library import PytorchOptimizer, ScheduleFreeSGD
from service.spec.plugins import family_union

if TYPE_CHECKING:
    Optimizer = OptimizerBase
else:
    Optimizer = family_union("optimizer", OptimizerBase, gradient, adam, adaptive, library)

__all__ = ["SGD", "AdamW", "Optimizer", "OptimizerBase", "PytorchOptimizer", "ScheduleFreeSGD", "SparseAdam"]
