"""The report on an uploaded file: enough to check any spec that trains on it, without reading the file again."""

from typing import Annotated, Literal

from pydantic import Field

from service.spec.component import Part

Format = Literal["csv", "parquet", "npz", "jsonl", "json", "text", "images", "safetensors", "tokenizer"]
ColumnType = Literal["integer", "number", "boolean", "text", "other"]
RULES = 2  # current version of the rules for missing cells and names of classes
MAX_CLASSES = 1_000  # distinct values that are counted individually
MAX_FLOAT32 = 3.4e38


class Reading(Part):
    """How a file is read, as detected or requested at upload. Trainings read it the same way."""

    rules: int = Field(1, description="version of the rules for missing cells; 1 knows fewer words for missing")
    header: bool = Field(True, description="CSV: whether the first line names the columns")


class Column(Part):
    """One column of a table, or one array. Statistics are over the finite values; booleans count as 0 or 1."""

    name: str
    type: ColumnType = Field(description="type of the values; other: dates, lists and so on, which are not read")
    holds: str | None = Field(None, description="for type other: the file's name of the type")
    text_row: int | None = Field(None, description="for text: the first row that is not a number, counted from 1")
    aside: str | None = Field(None, description="why it is not used as a feature unless `features` names it")
    as_written: bool = Field(False, description="classes are compared as text: 007 and 7 differ")
    shape: tuple[int, ...] = Field((), description="shape of the value in one row; () is a single number")
    missing: int = Field(description="number of missing values: empty cells, words such as NA, NaN")
    missing_rows: tuple[int, ...] = Field((), description="first rows with missing values, counted from 1")
    infinite: int = 0
    constant: bool = Field(False, description="whether every row has the same value")
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = Field(None, description="standard deviation, with divisor N")
    class_names: tuple[str, ...] = Field((), description="names of the classes by number, where the file has them")
    classes: dict[str, int] | None = Field(None, description="number of rows per distinct value; null: too many values")


class Report(Part):
    """The report on one file."""

    format: Format
    rows: Annotated[int, Field(ge=0)]  # characters of a text
    validation: int = Field(0, description="number of rows before the test set that are the file's own validation set")
    test: int = Field(0, description="number of last rows that are the file's own test set")
    reading: Reading = Reading()
    columns: tuple[Column, ...] = ()
    constant: tuple[str, ...] = Field((), description="columns with the same value in every row")
    scale_ratio: float | None = Field(
        None, description="ratio of the largest to the smallest standard deviation of the columns"
    )
    notes: tuple[str, ...] = Field((), description="remarks, one sentence each")
    characters: str | None = Field(None, description="the distinct characters of a text, in order; null: not a text")
    vocabulary: int | None = Field(None, description="largest token of a tokenizer, + 1; null: not a tokenizer")

    def column(self, name: str) -> Column | None:
        """Return the column of this name; None if there is none."""
        return next((column for column in self.columns if column.name == name), None)

    @property
    def names(self) -> list[str]:
        """All columns, in the file's order."""
        return [column.name for column in self.columns]
