"""Steps that make numbers of categories. A value that the training part lacks is unknown to them."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.preparation.base import Feature, StepBase


class EncoderBase(StepBase):
    """A step that takes columns of categories; with `columns` null all columns of text."""

    encodes = True

    def refusal(self, feature: Feature) -> str:
        """Return why a feature is not encoded: it has no categories, or has blanks."""
        if feature.categories is None:
            return "is of numbers, or encoded by an earlier step"
        return (
            "has blanks: fill them by an earlier step impute with strategy most_frequent or constant" * feature.blanks
        )


class OneHot(EncoderBase):
    """A column of 0 and 1 for each category; all 0 for a category that the training part lacks."""

    target = "worker.trainer.prepare.steps:OneHot"
    formula = "x_k = 1 if the value is category k, else 0"

    kind: Literal["one_hot"] = "one_hot"

    def outputs(self, feature: Feature) -> tuple[Feature, ...]:
        """Return a feature for each category."""
        return tuple(
            Feature(f"{feature.name}={each}", derived=True, is_binary=True) for each in feature.categories or ()
        )


class Embed(EncoderBase):
    """Codes that the model embeds: 1, 2, ... for the categories in order; 0 for one that the training part lacks."""

    target = "worker.trainer.prepare.steps:Embed"

    kind: Literal["embed"] = "embed"
    min_rows: Annotated[int, Field(ge=1, le=10**6)] = Field(
        1, description="training rows that a category needs for a code of its own; rarer ones share the code 0"
    )

    def outputs(self, feature: Feature) -> tuple[Feature, ...]:
        """Return the feature as codes."""
        return (replace(feature, categories=None, derived=True, codes=len(feature.categories or ()) + 1),)


class Ordinal(EncoderBase):
    """Numbers 0, 1, 2, ... for the categories in order; -1 for one that the training part lacks."""

    target = "worker.trainer.prepare.steps:Ordinal"

    kind: Literal["ordinal"] = "ordinal"
    order: Annotated[tuple[str, ...], Field(min_length=1, max_length=1_000)] | None = Field(
        None, description="the categories from lowest to highest; null: numbers by size, words alphabetically"
    )

    def outputs(self, feature: Feature) -> tuple[Feature, ...]:
        """Return the feature as a number."""
        return (replace(feature, categories=None, derived=True),)

    def taken_problems(self, feature: Feature) -> Iterator[Problem]:
        """Yield categories that `order` lacks, or gives twice."""
        if self.order is None:
            return
        if lacking := [each for each in feature.categories or () if each not in self.order]:
            named = ", ".join(map(repr, lacking[:3]))
            yield Problem("/order", "incomplete", f"lacks {named}: list every value of the columns.")
        if len({*self.order}) < len(self.order):
            yield Problem("/order", "repeated", "give each value once.")
