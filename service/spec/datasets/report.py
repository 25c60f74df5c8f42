"""The report on an uploaded file: enough to check any spec that trains on it, without reading the file again."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.component import Part

Format = Literal["csv", "parquet", "npz", "jsonl", "json", "text"]
ColumnType = Literal["integer", "number", "boolean", "text", "other"]
RULES = 2  # current version of the rules for missing cells and names of classes
MAX_CLASSES = 1_000  # distinct values that are counted individually
MAX_FLOAT32 = 3.4e38


class Reading(Part):
    """How a file is read, as detected or requested at its upload, so that a training reads it the same way."""

    rules: int = Field(1, description="of which cells are missing; 1: of uploads from before there were more words")
    header: bool = Field(True, description="of a CSV: its first line names the columns")


class Column(Part):
    """One column of a table, or one array. Figures are over the finite values; a boolean counts as 0 or 1."""

    name: str
    type: ColumnType = Field(description="other: dates, lists and so on, which are not read")
    holds: str | None = Field(None, description="of type other: what the file calls it")
    text_row: int | None = Field(
        None, description="of text: the first row that is no number; row 1 is the first of data"
    )
    aside: str | None = Field(None, description="why it is no feature unless it is asked for by name")
    as_written: bool = Field(False, description="its classes are texts as they are written: 007 and 7 are two")
    shape: tuple[int, ...] = Field((), description="of one row; () is a single value")
    missing: int = Field(description="empty cells, words such as NA, and NaN")
    missing_rows: tuple[int, ...] = Field((), description="the first of them; row 1 is the first one of data")
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
    test: int = Field(0, description="of them the last ones, which the file itself keeps for testing")
    reading: Reading = Reading()
    columns: tuple[Column, ...] = ()
    constant: tuple[str, ...] = Field((), description="columns that tell nothing")
    scale_ratio: float | None = Field(None, description="largest over smallest standard deviation of the columns")
    notes: tuple[str, ...] = Field((), description="what to know before training on it, a sentence each")
    characters: str | None = Field(None, description="a text's different characters, in order; null: not a text")

    def column(self, name: str) -> Column | None:
        """Return the column of this name; None if there is none."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def names(self) -> list[str]:
        """All columns, in the file's order."""
        return [column.name for column in self.columns]
