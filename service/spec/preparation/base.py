"""What every step of a table's preparation declares: which columns it takes, and what becomes of them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

from pydantic import Field

from service.errors import Problem
from service.spec.component import Component, Part

Columns = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=200)], ...], Field(min_length=1)] | None


class Source(Part):
    """A feature column as it is read from the file, before any step."""

    name: str
    categories: tuple[str, ...] | None = Field(None, description="distinct values of a column of categories, in order")
    blanks: bool = Field(False, description="whether rows without a value are kept, for a step to fill")


@dataclass(frozen=True)
class Feature:
    """One number of a row at some point of the preparation; of a column of categories its position among them."""

    name: str
    categories: tuple[str, ...] | None = None
    blanks: bool = False
    low: float | None = None  # smallest and largest value in the file, unknown to a worker
    high: float | None = None
    derived: bool = False  # made by an encoder or as an indicator: no later step takes it
    is_binary: bool = False  # 0 or 1: never scaled
    codes: int = 0  # above 0: numbers 0 to codes - 1 that stand for categories, for a model to embed; never scaled


def number_features(count: int, blanks: bool = False) -> tuple[Feature, ...]:
    """Return the features of an array of `count` numbers a row, named by their positions in it, from 0."""
    return tuple(Feature(str(at), blanks=blanks) for at in range(count))


class StepBase(Component):
    """A step of the preparation, fitted on the training part; it acts on each of its columns by itself."""

    encodes: ClassVar[bool] = False  # takes columns of categories and makes numbers of them
    fills: ClassVar[bool] = False  # takes columns with blanks and fills them

    columns: Columns = Field(
        None,
        description="columns of the file, or features of an array by position (0, 1, ...); null: all that it is for",
    )

    def kwargs(self) -> dict[str, Any]:
        """Return the arguments of the target, which is told its columns when it is fitted."""
        return {name: value for name, value in super().kwargs().items() if name != "columns"}

    def suits(self, feature: Feature) -> bool:
        """Whether the step takes this feature if `columns` is null."""
        return not self.refusal(feature)

    def refusal(self, feature: Feature) -> str:
        """Return why the step cannot take this feature, a clause about its column; empty if it can."""
        raise NotImplementedError

    def outputs(self, feature: Feature) -> tuple[Feature, ...]:
        """Return what stands in this feature's place after the step."""
        return (feature,)

    def appended(self, feature: Feature) -> tuple[Feature, ...]:
        """Return what the step adds, because of this feature, behind all others."""
        return ()

    def taken_problems(self, feature: Feature) -> Iterator[Problem]:
        """Yield why values of a feature that the step takes do not fit; pointers start at the step."""
        yield from ()


class NumberStepBase(StepBase):
    """A step that changes the numbers of its columns one by one; plug-ins derive from it.

    The target is made with the fields. Its `fit(values)` gets a column of training rows (N,), NaN where a value is
    missing, and returns a dictionary of JSON, which is stored with the run; `change(values, fitted)` gets values (n,)
    of any rows and that dictionary, and returns as many numbers; what is NaN stays so.
    """

    def refusal(self, feature: Feature) -> str:
        """Return why a column of categories is not taken."""
        return "is of categories" if feature.categories is not None else ""

    def changed(self, value: float) -> float | None:
        """Return what the step makes of a value, if it grows with it; None: only the training rows decide."""
        return None

    def outputs(self, feature: Feature) -> tuple[Feature, ...]:
        """Return the feature with its new range."""
        low, high = (None if each is None else self.changed(each) for each in (feature.low, feature.high))
        return (replace(feature, low=low, high=high),)
