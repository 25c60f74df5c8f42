"""The dimensions of a search space: what values a field of the spec may take, and how the unit interval maps to them.

Every sampler that works on the unit cube (random, Sobol, GP, CMA-ES) uses the same two functions of a dimension: `at`
from [0, 1] to a value, and `unit` back.
"""

import json
import math
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from service.errors import Problem
from service.spec.component import Component, Integer, Part

Role = Annotated[
    Literal["scientific", "nuisance"],
    Field(description="scientific: what the study compares; nuisance: tuned anew for each scientific value"),
]
Bound = Annotated[float, Field(ge=-1e12, le=1e12)]
DIGITS = 6  # significant digits of a sampled number: what a person can read and type again


class DimensionBase(Component):
    """A dimension of the space; its values are JSON values of the field that it stands for."""

    target: ClassVar[str] = ""  # the API draws from it; no worker builds it
    continuous: ClassVar[bool] = False  # has more values than can be listed

    role: Role = "nuisance"

    @property
    def count(self) -> int | None:
        """The number of different values; None for a continuous dimension."""
        raise NotImplementedError

    def at(self, u: float) -> Any:
        """Return the value at `u` in [0, 1]; equal shares of the interval are equally many values."""
        raise NotImplementedError

    def unit(self, value: Any) -> float | None:
        """Return the middle of the values' share of [0, 1]; None for a value that is not in the dimension."""
        raise NotImplementedError

    def edges(self) -> dict[str, Any]:
        """Return the values that must build for the others to be right: bounds, or every option, by their pointers."""
        return {"/low": self.at(0.0), "/high": self.at(1.0)}


class UniformRange(DimensionBase):
    """Real numbers from `low` to `high`, all equally likely."""

    continuous = True
    formula = "low + u (high - low)"

    kind: Literal["uniform"] = "uniform"
    low: Bound = Field(description="smallest value")
    high: Bound = Field(description="largest value")

    def problems(self) -> Iterator[Problem]:
        """Yield an empty range."""
        yield from _order(self.low, self.high)

    @property
    def count(self) -> None:
        """Not countable."""

    def at(self, u: float) -> float:
        """Return the value at `u`: `low` at 0, `high` at 1."""
        return _rounded(self.low + u * (self.high - self.low), u, self.low, self.high)

    def unit(self, value: Any) -> float | None:
        """Return the place of a number between the bounds."""
        return (value - self.low) / (self.high - self.low) if _within(value, self.low, self.high) else None


class LogUniform(DimensionBase):
    """Positive real numbers from `low` to `high` whose logarithms are equally likely, for rates and decays."""

    continuous = True
    formula = "low (high / low)^u"

    kind: Literal["log_uniform"] = "log_uniform"
    low: Annotated[float, Field(gt=0, le=1e12)] = Field(description="smallest value")
    high: Annotated[float, Field(gt=0, le=1e12)] = Field(description="largest value")

    def problems(self) -> Iterator[Problem]:
        """Yield an empty range."""
        yield from _order(self.low, self.high)

    @property
    def count(self) -> None:
        """Not countable."""

    def at(self, u: float) -> float:
        """Return the value at `u`: `low` at 0, `high` at 1."""
        return _rounded(self.low * math.pow(self.high / self.low, u), u, self.low, self.high)

    def unit(self, value: Any) -> float | None:
        """Return the place of a number between the bounds, on the logarithmic scale."""
        return (
            math.log(value / self.low) / math.log(self.high / self.low) if _within(value, self.low, self.high) else None
        )


class Int(DimensionBase):
    """Whole numbers from `low` to `high` in steps of `step`, equally likely, or in equal ratios with `log`."""

    kind: Literal["int"] = "int"
    low: Integer = Field(description="smallest value")
    high: Integer = Field(description="largest value")
    step: Annotated[int, Field(ge=1, le=10**9)] = Field(1, description="difference of neighbouring values")
    log: bool = Field(False, description="equal ratios instead of equal differences, for widths and batch sizes")

    def problems(self) -> Iterator[Problem]:
        """Yield an empty range, and a logarithm of what is not positive."""
        yield from _order(self.low, self.high)
        if self.log and self.low < 1:
            yield Problem("/low", "not_positive", "a logarithmic range starts at 1 or above.", {"ge": 1})
        if self.log and self.step > 1:
            yield Problem("/step", "contradiction", "a logarithmic range has no step: leave out one of log and step.")

    @property
    def count(self) -> int:
        """The number of values."""
        return (self.high - self.low) // self.step + 1

    def at(self, u: float) -> int:
        """Return the value whose share of [0, 1] holds `u`."""
        if self.log:
            low, high = self.low - 0.5, self.high + 0.5
            return min(max(round(low * math.pow(high / low, u)), self.low), self.high)
        return self.low + self.step * min(int(u * self.count), self.count - 1)

    def unit(self, value: Any) -> float | None:
        """Return the middle of a value's share."""
        if not isinstance(value, int) or not _within(value, self.low, self.high) or (value - self.low) % self.step:
            return None
        if self.log:
            return math.log(value / (self.low - 0.5)) / math.log((self.high + 0.5) / (self.low - 0.5))
        return ((value - self.low) // self.step + 0.5) / self.count


class Fixed(DimensionBase):
    """One value that replaces the base's."""

    kind: Literal["fixed"] = "fixed"
    value: Any = Field(description="the value")

    @property
    def count(self) -> int:
        """One."""
        return 1

    def at(self, u: float) -> Any:
        """Return the value."""
        return self.value

    def unit(self, value: Any) -> float | None:
        """Return the middle, for the value itself."""
        return 0.5 if same_value(value, self.value) else None

    def edges(self) -> dict[str, Any]:
        """Return the value."""
        return {"/value": self.value}


class Option(Part):
    """An option of a choice: a value or a whole component, and dimensions that exist only where it is chosen."""

    value: Any = Field(description="a value of the field, or a whole component")
    name: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        None, description="what tables and the page call it; null: its kind or the value itself"
    )
    space: dict[str, "AnyDimension"] = Field({}, description="dimensions by pointer that only this option has")

    @property
    def label(self) -> str:
        """What tables call it."""
        if self.name is not None:
            return self.name
        if isinstance(self.value, dict) and isinstance(kind := self.value.get("kind"), str):
            return kind
        return self.value if isinstance(self.value, str) else json.dumps(self.value)[:64]


def _as_option(given: object) -> object:
    """Return a bare value as an option; an object with a `value` and no `kind` is one already."""
    is_option = isinstance(given, Option) or (isinstance(given, dict) and "value" in given and "kind" not in given)
    return given if is_option else {"value": given}


class Choice(DimensionBase):
    """One of several options: values, or whole components with dimensions of their own."""

    kind: Literal["choice"] = "choice"
    options: Annotated[
        tuple[Annotated[Option, BeforeValidator(_as_option)], ...],
        Field(min_length=1, max_length=100, strict=False),  # within an option a list is no JSON array any more
    ]

    def problems(self) -> Iterator[Problem]:
        """Yield options that are given twice."""
        for at, option in enumerate(self.options):
            if self.position(option.value) != at:
                yield Problem(f"/options/{at}", "repeated", "this option is given twice: leave it out once.")

    @property
    def count(self) -> int:
        """The number of options."""
        return len(self.options)

    def position(self, value: Any) -> int | None:
        """Return which option has this value."""
        return next((at for at, option in enumerate(self.options) if same_value(option.value, value)), None)

    def at(self, u: float) -> Any:
        """Return the option whose share of [0, 1] holds `u`."""
        return self.options[min(int(u * self.count), self.count - 1)].value

    def unit(self, value: Any) -> float | None:
        """Return the middle of the option's share."""
        found = self.position(value)
        return None if found is None else (found + 0.5) / self.count

    def edges(self) -> dict[str, Any]:
        """Return every option."""
        return {f"/options/{at}/value": option.value for at, option in enumerate(self.options)}


AnyDimension = Annotated[UniformRange | LogUniform | Int | Choice | Fixed, Field(discriminator="kind")]
Option.model_rebuild(_types_namespace={"AnyDimension": AnyDimension})
Choice.model_rebuild()


def same_value(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal; 1 is 1.0, but true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same_value(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same_value, one, other))
    return bool(one == other)


def _order(low: float, high: float) -> Iterator[Problem]:
    if low >= high:
        detail = f"low is {low:g} and high {high:g}: low must be below high; for one value use kind fixed."
        yield Problem("/high", "empty_range", detail, {"gt": low})


def _within(value: Any, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _rounded(value: float, u: float, low: float, high: float) -> float:
    """Return a number with a few digits, and the bounds exactly."""
    if u <= 0 or u >= 1:
        return low if u <= 0 else high
    return min(max(float(f"{value:.{DIGITS}g}"), low), high)
