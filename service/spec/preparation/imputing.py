"""The step that fills missing values."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.preparation.base import Feature, StepBase

Strategy = Literal["mean", "median", "most_frequent", "constant"]
Value = Annotated[float, Field(ge=-3e38, le=3e38)] | Annotated[str, Field(min_length=1, max_length=200)]


class Impute(StepBase):
    """Fill missing values with one value for each column, as scikit-learn's SimpleImputer does."""

    target = "worker.trainer.prepare.steps:Impute"
    fills = True

    kind: Literal["impute"] = "impute"
    strategy: Strategy = Field(
        "mean",
        description="what fills a column, from its training rows: numbers take any; categories the last two",
    )
    value: Value | None = Field(None, description="the constant: a number, or a category (a new one is added)")
    indicator: bool = Field(
        False, description="also add a feature for each column, 1 where its value was missing, else 0"
    )

    def problems(self) -> Iterator[Problem]:
        """Yield a constant without a value, and a value of another strategy."""
        if (self.strategy == "constant") != (self.value is not None):
            detail = "give the constant." if self.value is None else "only the strategy constant takes a value."
            yield Problem("/value", "contradiction", detail)

    def suits(self, feature: Feature) -> bool:
        """Whether a feature has blanks that this strategy can fill."""
        return feature.blanks and not self.refusal(feature)

    def refusal(self, feature: Feature) -> str:
        """Return why this strategy cannot fill a column."""
        if feature.categories is not None:
            if self.strategy in ("mean", "median"):
                return f"is of categories, which have no {self.strategy}: use most_frequent, or constant"
            return "is of categories: give /value as a text" if isinstance(self.value, float) else ""
        return "is of numbers: give /value as a number" if isinstance(self.value, str) else ""

    def outputs(self, feature: Feature) -> tuple[Feature, ...]:
        """Return the feature without blanks."""
        filled = replace(feature, blanks=False)
        if isinstance(self.value, str) and feature.categories is not None:
            return (replace(filled, categories=tuple(dict.fromkeys((*feature.categories, self.value)))),)
        if isinstance(self.value, float) and feature.low is not None and feature.high is not None:
            return (replace(filled, low=min(feature.low, self.value), high=max(feature.high, self.value)),)
        return (filled,)

    def appended(self, feature: Feature) -> tuple[Feature, ...]:
        """Return the indicator of a column with blanks."""
        return (
            (Feature(f"{feature.name} missing", derived=True, is_binary=True),)
            if self.indicator and feature.blanks
            else ()
        )
