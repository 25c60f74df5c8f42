"""No data: for objectives, which are functions of their parameters alone."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.datasets.base import DatasetBase, Facts

Zero = Annotated[float, Field(ge=0, le=0, description="0: there are no rows to split")]


class Nothing(DatasetBase):
    """No data: each step evaluates an objective function once."""

    target = "worker.trainer.data.placeholder:placeholder"
    known = Facts(1, (), "objective")

    kind: Literal["none"] = "none"
    validation: Zero = 0.0
    test: Zero = 0.0

    def problems(self) -> Iterator[Problem]:
        """Yield nothing: there is no split."""
        yield from ()
