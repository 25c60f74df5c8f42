"""Steps that change numbers one by one: a logarithm, a power, a fixed divisor."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.preparation.base import Feature, NumberStepBase


class Log1p(NumberStepBase):
    """The logarithm of 1 + x, for columns whose large values are far apart."""

    target = "worker.trainer.prepare.steps:Log1p"
    formula = "log(1 + x)"

    kind: Literal["log1p"] = "log1p"

    def taken_problems(self, feature: Feature) -> Iterator[Problem]:
        """Yield a problem for a column with values of -1 or less."""
        yield from out_of_range(self.kind, feature, -1.0)

    def changed(self, value: float) -> float | None:
        """Return the logarithm."""
        return math.log1p(value) if value > -1 else None


class Power(NumberStepBase):
    """A power whose exponent makes the training rows most like a normal distribution (scikit-learn's PowerTransformer).

    yeo_johnson takes any numbers, box_cox only those above 0.
    """

    target = "worker.trainer.prepare.steps:Power"
    formula = "((x + 1)^lambda - 1) / lambda for x >= 0, -((1 - x)^(2 - lambda) - 1) / (2 - lambda) below"
    paper = "https://doi.org/10.1093/biomet/87.4.954"

    kind: Literal["power"] = "power"
    method: Literal["yeo_johnson", "box_cox"] = Field("yeo_johnson", description="family of powers")

    def taken_problems(self, feature: Feature) -> Iterator[Problem]:
        """Yield a problem for a column that box_cox cannot take."""
        if self.method == "box_cox":
            yield from out_of_range(f"{self.kind} with method box_cox", feature, 0.0)


class Divide(NumberStepBase):
    """Divide by a fixed number, such as 16 for grey values from 0 to 16."""

    target = "worker.trainer.prepare.steps:Divide"
    formula = "x / by"

    kind: Literal["divide"] = "divide"
    by: Annotated[float, Field(gt=0, le=1e30, ge=1e-30)] = Field(description="the divisor")

    def changed(self, value: float) -> float | None:
        """Return the quotient."""
        return value / self.by


def out_of_range(what: str, feature: Feature, bound: float) -> Iterator[Problem]:
    """Yield a problem for a column with values at or below the bound."""
    if feature.low is not None and feature.low <= bound:
        detail = (
            f"{what} takes values above {bound:g}, and the smallest of the column {feature.name} is {feature.low:g}"
        )
        detail += ": use power with yeo_johnson, or name other columns in /columns."
        yield Problem("", "out_of_range", detail, bound)
