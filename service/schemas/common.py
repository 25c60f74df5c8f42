"""What all responses share: the base class, numbers that JSON lacks, times in UTC, pages."""

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from service.spec.component import Json

__all__ = ["Json", "Number", "Page", "Utc", "View"]

T = TypeVar("T")
NUMBER = {"anyOf": [{"type": "number"}, {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}]}
Number = Annotated[float, WithJsonSchema(NUMBER)]  # JSON has no NaN or infinities: they are sent as strings
Utc = Annotated[datetime, AfterValidator(lambda time: time.astimezone(UTC))]


class View(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(ser_json_inf_nan="strings", frozen=True, defer_build=True)

    @classmethod
    def of(cls, stored: object, **others: Any) -> Self:
        """Return the view of a stored object: `others` by name, every other field from the attribute of its name."""
        fields = {name: getattr(stored, name) for name in cls.model_fields if name not in others}
        return cls(**fields, **others)


class Page(View, Generic[T]):
    """Some items, newest first, and where the next ones begin."""

    items: list[T]
    next_cursor: str | None = Field(description="give it as `cursor` for the next page; null: this was the last")
