"""What every optimizer has: a base rate that the schedule scales, and what it says about the parameters it takes."""

from collections.abc import Iterator
from typing import Any, ClassVar

from service.errors import Problem
from service.spec.component import Component, Rate
from service.spec.layout import Parameter


def policy(*switches: str) -> dict[str, str]:
    """What no spec chooses of an optimizer: its direction, and how torch computes it (`switches`)."""
    reason = "an implementation switch: the worker's policy, recorded with the attempt"
    return {"maximize": "losses are minimised here"} | dict.fromkeys(switches, reason)


EVERY = policy("foreach", "fused", "capturable", "differentiable")
SLOW = policy("foreach", "capturable", "differentiable")  # those that torch has no fused form of


class OptimizerBase(Component):
    """What every optimizer has: a base rate that the schedule scales."""

    left_out = EVERY
    searches: ClassVar[bool] = False  # asks for several gradients an update, and takes all parameters in one group
    sparse: ClassVar[bool] = False  # can use the sparse gradient of an Embedding(sparse=True)
    whole_batches: ClassVar[str] = ""  # what goes wrong with a part of the rows at a time
    keeps_rate: ClassVar[str] = ""  # why a schedule of the rate is probably not meant

    keeps: ClassVar[float] = 2  # numbers for each parameter
    decoupled: ClassVar[bool] = False  # weight decay shrinks the weights themselves, not by way of the gradient

    lr: Rate = 1e-3

    def refusal(self, parameter: Parameter) -> str:
        """Why it cannot step this parameter; empty: it can."""
        if parameter.sparse and not self.sparse:
            return "its gradient is sparse: give it to sgd, adagrad or sparse_adam"
        return ""

    def group(self) -> dict[str, Any]:
        """Its fields as torch keeps them in a parameter group."""
        return self.kwargs()

    def oddities(self) -> Iterator[Problem]:
        """What is allowed and probably not meant; pointers start at this part."""
        yield from ()


Optimizer_ = OptimizerBase  # the old name, kept for plug-ins until 0.3
