"""Parameter groups: rules that give some parameters their own settings or optimizer."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Annotated, Literal

from pydantic import Field

from service.errors import Problem
from service.spec.component import Decay, Integer, Part, Rate, under
from service.spec.layout import Parameter
from service.spec.optimizers import Optimizer

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,40}$")]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,63}$")]
Value = bool | Integer | float | Annotated[str, Field(max_length=64)] | tuple[float | None, ...] | None
RESERVED = ("default", "no_decay")


class Match(Part):
    """Conditions on a parameter; all that are given must hold."""

    name: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="pattern of the parameter's name in torch; * matches anything, dots too: layers.0.*"
    )
    module: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        None, description="class of the module that owns it: Linear, BatchNorm1d"
    )
    dim: Annotated[int, Field(ge=0, le=8)] | None = Field(None, description="exact number of dimensions")
    dim_lt: Annotated[int, Field(ge=1, le=9)] | None = Field(None, description="fewer dimensions than this")

    def problems(self) -> Iterator[Problem]:
        """Yield a problem if there is no condition."""
        if all(getattr(self, name) is None for name in type(self).model_fields):
            yield Problem("", "missing", 'say which parameters: for all, {"name": "*"}.')


def matches(match: Match, parameter: Parameter) -> bool:
    """Return whether `parameter` fulfils every condition of `match`."""
    return (
        (match.name is None or fnmatchcase(parameter.name, match.name))
        and (match.module is None or parameter.module == match.module)
        and (match.dim is None or len(parameter.shape) == match.dim)
        and (match.dim_lt is None or len(parameter.shape) < match.dim_lt)
    )


class Rule(Part):
    """A parameter group: settings for the parameters that match. The first rule that matches a parameter applies.

    A rule with only a match exempts its parameters from later rules.
    """

    match: Match
    name: Label | None = Field(None, description="name of the group, as in the series lr/<name>; null: group<position>")
    lr: Rate | None = Field(None, description="base learning rate; the schedule scales it")
    weight_decay: Decay | None = Field(None, description="weight decay coefficient")
    set: Annotated[dict[FieldName, Value], Field(max_length=20)] = Field(
        {}, description="other fields of the optimizer"
    )
    freeze: bool = Field(False, description="do not train these parameters")
    unfreeze_at: Annotated[int, Field(ge=2, le=10**8)] | None = Field(
        None,
        description="first update that trains parameters frozen by `freeze`; schedules count from the run's start. "
        "null: none does",
    )
    norm_statistics: Literal["train", "frozen"] = Field(
        "train",
        description="frozen: the group's batch normalisations use their running statistics in training too, as in "
        "evaluation, and leave them as they are, to the end of the run",
    )
    optimizer: Optimizer | None = Field(None, description="optimizer for these parameters instead of /optimizer")

    @property
    def stays_frozen(self) -> bool:
        """Whether no update trains these parameters."""
        return self.freeze and self.unfreeze_at is None

    @property
    def overrides(self) -> dict[str, Value]:
        """The optimizer fields that it changes."""
        own = {"lr": self.lr, "weight_decay": self.weight_decay}
        return {name: value for name, value in own.items() if value is not None} | self.set

    def pointer(self, field: str) -> str:
        """Return the pointer, within the rule, to its value for the optimizer's `field`."""
        return f"/{field}" if field in ("lr", "weight_decay") and field not in self.set else f"/set/{field}"

    def problems(self) -> Iterator[Problem]:
        """Yield contradictions within the rule."""
        yield from under("/match", self.match.problems())
        if self.name in RESERVED:
            yield Problem(
                "/name", "reserved", f"{' and '.join(RESERVED)} are groups that are there anyway: choose another."
            )
        for field in ("lr", "weight_decay", "kind"):
            if field in self.set:
                detail = "say it in /optimizer of the rule." if field == "kind" else f"say it in {field} of the rule."
                yield Problem(f"/set/{field}", "misplaced", detail)
        if self.unfreeze_at is not None and not self.freeze:
            yield Problem("/unfreeze_at", "contradiction", "/freeze is false: set it to true, or leave this out.")
        if self.stays_frozen and (self.overrides or self.optimizer is not None):
            detail = (
                "a frozen parameter has no settings: remove them, or freeze, or say when it is trained: unfreeze_at."
            )
            yield Problem("/freeze", "contradiction", detail)
        if self.optimizer is not None:
            yield from under("/optimizer", self.optimizer.problems())
            if self.overrides:
                yield Problem(
                    "/optimizer", "contradiction", "an optimizer of the rule's own has its settings inside it."
                )
