"""What was found in an uploaded file: enough to check any spec that trains on it, without reading it again."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.component import Part

Format = Literal["csv", "parquet", "npz", "jsonl", "text"]
ColumnType = Literal["integer", "number", "boolean", "text"]
MAX_CLASSES = 1_000  # distinct values that are counted one by one
MAX_FLOAT32 = 3.4e38


class Column(Part):
    """One column of a table, or one array. Figures are over the finite values; a boolean counts as 0 or 1."""

    name: str
    type: ColumnType
    shape: tuple[int, ...] = Field((), description="of one row; () is a single value")
    missing: int = Field(description="empty cells, and NaN")
    infinite: int = 0
    constant: bool = Field(False, description="one and the same value in every row")
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = Field(None, description="divisor N")
    classes: dict[str, int] | None = Field(None, description="value -> rows; null: too many different values")


class Report(Part):
    """One file."""

    format: Format
    rows: Annotated[int, Field(ge=0)]  # characters of a text
    columns: tuple[Column, ...] = ()
    constant: tuple[str, ...] = Field((), description="columns that tell nothing")
    scale_ratio: float | None = Field(None, description="largest over smallest standard deviation of the columns")
    notes: tuple[str, ...] = Field((), description="what to know before training on it, a sentence each")
    characters: str | None = Field(None, description="a text's different characters, in order; null: not a text")

    def column(self, name: str) -> Column | None:
        """The column of this name."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def names(self) -> list[str]:
        """All columns, in the file's order."""
        return [column.name for column in self.columns]
