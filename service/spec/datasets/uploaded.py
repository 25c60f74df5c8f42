"""Datasets from uploaded files. The server looks the upload up and writes what it found into the spec as `resolved`."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from service.errors import Invalid, Problem
from service.spec.component import Part
from service.spec.datasets.base import Dataset_, Facts, Regression_
from service.spec.datasets.precision import MIN_SPACINGS, is_coarse
from service.spec.datasets.report import MAX_CLASSES, MAX_FLOAT32, Column, Format, Report
from service.spec.pointing import closest

UploadId = Annotated[str, Field(pattern="^dat_[0-9a-hjkmnp-tv-z]{26}$")]
ColumnName = Annotated[str, Field(min_length=1, max_length=200)]
MAX_VOCABULARY = 4_096
READ_ONLY = "written by the server; a request may only leave it out, or repeat it as it was"


class Resolved(Part):
    """What the server found in the upload: a worker needs nothing else to read and check it."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    format: Format
    rows: Annotated[int, Field(ge=1)]
    shape: Annotated[tuple[int, ...], Field(max_length=4)]
    classes: tuple[str, ...] = Field((), description="class number -> the target's value")
    characters: str = Field("", description="token number -> character")
    coarse: tuple[str, ...] = Field((), description="columns left unscaled whose values float32 can hardly tell apart")


class Stored_(Dataset_):
    """A dataset whose rows lie in an uploaded file."""

    stored = True

    upload: UploadId
    resolved: Resolved | None = Field(None, description=READ_ONLY)

    @property
    def found(self) -> Resolved:
        """What the server found; `Invalid` where nobody has looked yet."""
        if self.resolved is None:
            detail = "the upload was not looked up: only a server that has it can say what is in it."
            raise Invalid.of([Problem("/dataset/upload", "not_resolved", detail)])
        return self.resolved

    def kwargs(self) -> dict[str, Any]:
        """A loader finds the file by its hash, not by its id."""
        return {name: value for name, value in super().kwargs().items() if name != "upload"}

    def resolve(self, report: Report, sha256: str) -> tuple[Resolved | None, list[Problem]]:
        """What a spec should hold of a file with this report, or why it cannot be trained on."""
        raise NotImplementedError


class Upload(Regression_, Stored_):
    """A table that was uploaded to POST /v1/datasets: CSV, JSON lines, Parquet, or the arrays of an NPZ file."""

    target = "worker.data.uploads:table"

    kind: Literal["upload"] = "upload"
    predict: ColumnName | Annotated[tuple[ColumnName, ...], Field(min_length=2, max_length=MAX_CLASSES)] = Field(
        description="the column to predict; of a distribution the columns of its probabilities, or one array of them"
    )
    features: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=10_000)] | None = Field(
        None, description="columns to predict from, or one array of any shape; null: all but the one to predict"
    )
    task: Literal["classification", "distribution", "regression"] = Field(
        description="a class, a value, or a probability for each class (or their logarithms: kl_div's log_target)"
    )

    @property
    def facts(self) -> Facts:
        """As the server found them."""
        found = self.found
        return Facts(found.rows, found.shape, self.task, len(found.classes))

    def resolve(self, report: Report, sha256: str) -> tuple[Resolved | None, list[Problem]]:
        """The table's rows, the shape of one, and the classes."""
        if report.format == "text":
            return None, [Problem("/upload", "wrong_format", "is a text: use the dataset kind text.")]
        problems = [*self._names(report)]
        chosen = [column for name in self._chosen(report) if (column := report.column(name))]
        predicted = [column for name in self.predicted if (column := report.column(name))]
        if problems:
            return None, problems
        problems = [*_unusable(chosen, self.features), *self._predicted(predicted), *_shapes(chosen)]
        if report.rows < 10:
            problems.append(Problem("/upload", "too_small", f"has {report.rows} rows; at least 10.", 10))
        if problems:
            return None, problems
        shape = chosen[0].shape if len(chosen) == 1 and chosen[0].shape else (len(chosen),)
        classes = {"classification": _sorted, "distribution": _shares, "regression": _none}[self.task](predicted)
        rows, kind, coarse = report.rows, report.format, self._coarse(chosen, predicted)
        return Resolved(sha256=sha256, format=kind, rows=rows, shape=shape, classes=classes, coarse=coarse), []

    def _coarse(self, chosen: list[Column], predicted: list[Column]) -> tuple[str, ...]:
        """Columns that are trained on as they are and lose digits by it."""
        unscaled = chosen if self.scaling == "none" else []
        if self.task == "regression" and self.target_scaling == "none":
            unscaled = [*unscaled, *predicted]
        return tuple(column.name for column in unscaled if is_coarse(column.std, column.min, column.max))

    def warnings(self) -> Iterator[Problem]:
        """Columns whose digits float32 loses unless they are scaled."""
        for name in self.found.coarse:
            pointer = "/target_scaling" if name in self.predicted else "/scaling"
            detail = (
                f"the column {name} varies by less than {MIN_SPACINGS} float32 spacings at its size, so unscaled it "
            )
            yield Problem(
                pointer, "loses_digits", detail + "loses digits: set this to standardise, or shift the column."
            )

    def _chosen(self, report: Report) -> list[str]:
        """The names of the features."""
        return [name for name in self.features or report.names if self.features or name not in self.predicted]

    @property
    def predicted(self) -> tuple[str, ...]:
        """The names of what is to be predicted."""
        return (self.predict,) if isinstance(self.predict, str) else self.predict

    def _names(self, report: Report) -> Iterator[Problem]:
        """Columns that are not there, given twice, or on both sides."""
        known = report.names
        for index, name in enumerate(self.predicted):
            pointer = "/predict" if isinstance(self.predict, str) else f"/predict/{index}"
            if name not in known:
                yield Problem(pointer, "no_such_column", "the upload has no such column.", None, closest(name, known))
            elif name in self.predicted[:index]:
                yield Problem(pointer, "repeated", "give each column once.")
        for index, name in enumerate(self.features or ()):
            pointer = f"/features/{index}"
            if name not in known:
                yield Problem(pointer, "no_such_column", "the upload has no such column.", None, closest(name, known))
            elif name in self.predicted:
                yield Problem(pointer, "contradiction", "is the column to predict, /predict.")
            elif self.features and name in self.features[:index]:
                yield Problem(pointer, "repeated", "give each column once.")
        if not self._chosen(report):
            yield Problem("/upload", "too_small", "has no column beside the one to predict.")

    def _predicted(self, columns: list[Column]) -> Iterator[Problem]:
        """What does not fit the task."""
        column = columns[0]
        if self.task == "distribution":
            yield from _distribution(columns)
        elif len(columns) > 1:
            yield Problem("/predict", "wrong_shape", "several columns are a distribution: set /task, or name one.")
        elif column.shape:
            yield Problem("/predict", "wrong_shape", f"has {list(column.shape)} values a row: it must be one value.")
        elif column.missing or column.infinite:
            yield Problem("/predict", "missing_values", _gaps(column))
        elif self.task == "regression":
            yield from _number(column, "/predict", "set /task to classification, or choose a column of numbers")
        elif column.classes is None:
            detail = f"has more than {MAX_CLASSES} different values: set /task to regression, or choose another column."
            yield Problem("/predict", "too_many_classes", detail, MAX_CLASSES)
        elif len(column.classes) < 2:
            yield Problem("/predict", "too_few_classes", "has one value only: nothing to tell apart.")
        elif rare := sorted(name for name, rows in column.classes.items() if rows < 3):
            detail = f"classes with fewer than 3 rows ({', '.join(rare[:3])}): each part needs one of each."
            yield Problem("/predict", "class_too_small", detail, 3)


class Text(Stored_):
    """A text that was uploaded to POST /v1/datasets, character by character: which one comes next, at every position.

    A row is `context` characters; rows do not overlap. The first rows train, then come validation and test.
    """

    target = "worker.data.uploads:text"

    kind: Literal["text"] = "text"
    context: Annotated[int, Field(ge=1, le=8192, description="characters in a row")] = 64

    @property
    def facts(self) -> Facts:
        """A row less than fits where the last character's successor is unknown."""
        characters = len(self.found.characters)
        return Facts(self.found.rows, (self.context,), "language", unit="character", vocabulary=characters)

    def resolve(self, report: Report, sha256: str) -> tuple[Resolved | None, list[Problem]]:
        """The vocabulary and how many rows there are."""
        if report.characters is None:
            return None, [Problem("/upload", "wrong_format", f"is a table ({report.format}): use the kind upload.")]
        rows = (report.rows - 1) // self.context
        if rows < 10:
            detail = f"{report.rows} characters make {max(rows, 0)} rows; at least 10: a smaller context, or more text."
            return None, [Problem("/context", "too_small", detail)]
        if len(report.characters) < 2:
            return None, [Problem("/upload", "too_few_classes", "has one character only: nothing to tell apart.")]
        found = report.characters
        return Resolved(sha256=sha256, format="text", rows=rows, shape=(self.context,), characters=found), []


def _unusable(columns: list[Column], given: tuple[str, ...] | None) -> Iterator[Problem]:
    """Features that are no finite numbers in every row."""
    for index, column in enumerate(columns):
        pointer = "/features" if given is None else f"/features/{index}"
        if column.missing or column.infinite:
            yield Problem(pointer, "missing_values", _gaps(column))
        else:
            yield from _number(column, pointer, "leave it out of /features, or upload it as numbers")


def _gaps(column: Column) -> str:
    what = f"{column.missing} rows without a value" if column.missing else f"{column.infinite} infinite values"
    return f"the column {column.name} has {what}: fill them or leave those rows out, and upload again."


def _number(column: Column, pointer: str, fix: str) -> Iterator[Problem]:
    if column.type == "text":
        yield Problem(pointer, "not_a_number", f"the column {column.name} is text: {fix}.")
    elif max(abs(column.min or 0.0), abs(column.max or 0.0)) > MAX_FLOAT32:
        detail = f"the column {column.name} has values beyond {MAX_FLOAT32}, the range of 32 bits: rescale it."
        yield Problem(pointer, "too_large", detail, MAX_FLOAT32)


def _shapes(columns: list[Column]) -> Iterator[Problem]:
    """Single values side by side, or one array."""
    if len(columns) > 1 and (wide := [column.name for column in columns if column.shape]):
        detail = f"{', '.join(wide[:3])} has several values a row: choose it alone, or only columns of single values."
        yield Problem("/features", "wrong_shape", detail)


def _distribution(columns: list[Column]) -> Iterator[Problem]:
    """Probabilities, or their logarithms: which of the two, and that they sum to 1, the worker sees."""
    if len(columns) == 1 and (len(columns[0].shape) != 1 or columns[0].shape[0] < 2):
        detail = "a distribution is several columns, or one array with a probability for each class."
        yield Problem("/predict", "wrong_shape", detail)
        return
    for column in columns:
        if len(columns) > 1 and column.shape:
            yield Problem("/predict", "wrong_shape", f"{column.name} has several values a row: name it alone.")
        elif column.missing or column.infinite:
            yield Problem("/predict", "missing_values", _gaps(column))
        elif column.type == "text":
            yield Problem("/predict", "not_a_number", f"the column {column.name} is text: upload probabilities.")
        elif (column.max or 0.0) > 1 or ((column.min or 0.0) < 0 < (column.max or 0.0)):
            detail = f"the column {column.name} goes from {column.min:g} to {column.max:g}: no probability does."
            yield Problem("/predict", "out_of_range", detail)


def _none(columns: list[Column]) -> tuple[str, ...]:
    """Values have no classes."""
    return ()


def _shares(columns: list[Column]) -> tuple[str, ...]:
    """The classes of a distribution: its columns' names, or an array's positions."""
    if len(columns) == 1:
        return tuple(map(str, range(columns[0].shape[0])))
    return tuple(column.name for column in columns)


def _sorted(columns: list[Column]) -> tuple[str, ...]:
    """The values of a class column: numbers by size, words by character."""
    (column,) = columns
    values = list(column.classes or ())
    return tuple(sorted(values) if column.type in ("text", "boolean") else sorted(values, key=float))
