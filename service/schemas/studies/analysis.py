"""What the trials of a study say together: the duel of its scientific values, importance, presets."""

from typing import Any

from pydantic import Field

from service.schemas.common import Json, View


class BorderView(View):
    """A best value at the border of its range: better ones may lie beyond."""

    pointer: str
    value: float
    end: str = Field(description="low or high")
    bound: float
    patch: Json = Field(description="JSON Patch operation on the study's document that extends the range")


class DuellistView(View):
    """What one scientific value came to; one contestant stands for the whole study where nothing is compared."""

    values: dict[str, Any] = Field(description="JSON pointer -> scientific value")
    label: str
    trials: int = Field(description="that ended: finished, pruned or diverged")
    finished: int
    diverged: int
    best: int | None = Field(description="number of its best trial")
    best_value: float | None
    interval: tuple[float, float] | None = Field(description="95 %, Student's t over the best trial's seeds")
    median: float | None = Field(description="of its trials, a pruned one with its last rung; null: it diverged")
    quartiles: tuple[float | None, float | None]
    sensitivity: float | None = Field(description="how much worse its median trial is than its best")
    borders: list[BorderView]


class ProfileView(View):
    """At `ratio` times the fewest steps, the share of the targets that each contestant has reached."""

    ratio: float
    shares: list[float] = Field(description="in the order of the contestants")


class ImportanceView(View):
    """The share of the differences between trials that a dimension explains by itself."""

    name: str = Field(description="the pointer, after the options that the dimension depends on")
    pointer: str
    share: float | None = Field(description="0 to 1; null: too few trials have this dimension")
    trials: int


class StudyAnalysis(View):
    """The duel and the importance of dimensions, from the trials that have ended."""

    even: bool = Field(description="all contestants have had the same number of trials, to one: else wait")
    contestants: list[DuellistView] = Field(description="in the order of the space")
    targets: list[float] = Field(description="of the objective, harder and harder")
    steps_to_target: list[list[int | None]] = Field(description="rows: targets, columns: contestants; null: never")
    profile: list[ProfileView]
    importance: list[ImportanceView] = Field(description="most important first")


class StudyPresetView(View):
    """A study for a usual question; post it as `preset` with a `base`."""

    name: str
    question: str
    document: Json = Field(description="for the base it was asked for; with every field it sets")


class StudyPresets(View):
    """All of them."""

    items: list[StudyPresetView]
