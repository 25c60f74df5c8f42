"""Rows to predict, as people give them: checked against what a run trained on, and put into the form of its data.

A row of a table is a dictionary by column, or a list in the order of the columns; of other data nested numbers of the
model's shape; of images also a file in base64; of a language a text, or tokens.
"""

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from service.errors import Problem
from service.spec.datasets.base import DatasetBase, TableBase
from service.spec.datasets.images import ImagesBase
from service.spec.datasets.report import MAX_FLOAT32
from service.spec.datasets.text import LanguageBase
from service.spec.validation_errors import closest, escape_key

MAX_ROWS = 100  # of one request
MAX_TOLD = 20  # problems of one request
MAX_BYTE = 255  # largest value of a pixel
NOTED = re.compile(r"^\s*[+-]?[0-9][0-9.,'\s]*$")  # a number with other marks than float takes
TRUTH = {"true": 1.0, "false": 0.0}  # as in a CSV file


class RowColumn(NamedTuple):
    """A column that a row needs."""

    name: str
    is_category: bool = False
    is_filled: bool = False  # where its value is missing


class BadRow(ValueError):
    """What is wrong with a row: where in it, as a pointer, and why."""

    def __init__(self, pointer: str, code: str, detail: str, limit: Any = None, meant: str | None = None) -> None:
        super().__init__(detail)
        self.problem = Problem(pointer, code, detail, limit, meant)


def read_rows(
    dataset: DatasetBase, features: Sequence[str] | None, rows: Sequence[Any]
) -> tuple[list[Any], list[Problem]]:
    """Return the rows as the data has them, and what is wrong with them; `features` are the names of its columns."""
    columns = _columns(dataset, features)
    found: list[Any] = []
    problems: list[Problem] = []
    for at, row in enumerate(rows):
        try:
            found.append(_read_row(row, dataset, columns))
        except BadRow as error:
            problems.append(error.problem.under(f"/rows/{at}"))
    return found, problems[:MAX_TOLD]


def _columns(dataset: DatasetBase, features: Sequence[str] | None) -> list[RowColumn] | None:
    """Return the columns that a row has, in order; None: it is an array, or its columns have no names."""
    if isinstance(dataset, TableBase) and dataset.prepare:
        read, filled = dataset.features_read, _filled(dataset)
        if dataset.stored_shape != (len(read),):
            return None
        names = features or [each.name for each in read]
        return [
            RowColumn(name, each.categories is not None, each.name in filled)
            for name, each in zip(names, read, strict=True)
        ]
    named = features is not None and dataset.stored_shape == (len(features),)
    return [RowColumn(name) for name in features or ()] if named else None


def _filled(dataset: DatasetBase) -> set[str]:
    """Return the features whose missing values a step of the preparation fills."""
    planned = dataset.planned if isinstance(dataset, TableBase) else []
    return {each.before[at].name for each in planned if each.step.fills for at in each.taken}


def _read_row(row: Any, dataset: DatasetBase, columns: list[RowColumn] | None) -> Any:
    if isinstance(dataset, LanguageBase):
        return _read_tokens(row, dataset)
    if columns is not None:
        return list(_read_values(row, columns))
    if isinstance(dataset, ImagesBase) and isinstance(row, str):
        return _check_base64(row)
    found = _read_numbers(row, dataset.stored_shape, "", blanks=bool(_filled(dataset)))
    if dataset.of_bytes:
        _check_bytes(found, "")
    return found


def _read_values(row: Any, columns: list[RowColumn]) -> Iterator[Any]:
    """Yield a table's values in the order of its columns."""
    if isinstance(row, dict):
        for column in columns:
            if column.name not in row:
                detail = f"the row has no column {column.name}; a missing value is null."
                raise BadRow("", "no_such_column", detail, [c.name for c in columns], closest(column.name, list(row)))
            yield _read_value(row[column.name], column, f"/{escape_key(column.name)}")
        return
    if not isinstance(row, list):
        raise BadRow("", "wrong_type", "a row is a dictionary by column, or a list in the order of the columns.")
    if len(row) != len(columns):
        names = ", ".join(column.name for column in columns[:10]) + (", ..." if len(columns) > 10 else "")
        detail = f"the row has {len(row)} values for the {len(columns)} columns {names}."
        raise BadRow("", "wrong_length", detail, len(columns))
    for at, (value, column) in enumerate(zip(row, columns, strict=True)):
        yield _read_value(value, column, f"/{at}")


def _read_value(value: Any, column: RowColumn, pointer: str) -> Any:
    if value is None:
        if not column.is_filled:
            detail = f"the column {column.name} has no value, and no step of the run's preparation fills it."
            raise BadRow(pointer, "missing_value", detail)
        return None
    if column.is_category:
        if not isinstance(value, str | int | float):
            raise BadRow(pointer, "wrong_type", f"the column {column.name} is of categories: give a text or a number.")
        return value
    return _read_number(value, pointer, f"the column {column.name} is of numbers")


def _read_number(value: Any, pointer: str, what: str) -> float | int:
    """Return a number, also one that is written as text, as cells of a CSV file are."""
    number: Any = value
    if isinstance(value, str):
        number = _written(value)
    if not isinstance(number, int | float):
        shown = f"{value[:40]!r}" if isinstance(value, str) else "this"
        fix = ": write it with a point, as 1234.5" if isinstance(value, str) and NOTED.match(value) else ""
        raise BadRow(pointer, "not_a_number", f"{what}, and {shown} is none{fix}.")
    if not abs(number) <= MAX_FLOAT32:
        raise BadRow(pointer, "too_large", f"{what} between -{MAX_FLOAT32} and {MAX_FLOAT32}.", MAX_FLOAT32)
    return number


def _written(text: str) -> float | None:
    try:
        return TRUTH.get(text.strip().lower()) if text.strip().isalpha() else float(text)
    except ValueError:
        return None


def _read_numbers(value: Any, shape: tuple[int, ...], pointer: str, blanks: bool) -> Any:
    """Return nested numbers of a shape; with `blanks` null is one too, which a step fills."""
    if not shape and value is None and blanks:
        return None
    if not shape:
        return _read_number(value, pointer, "a value is a number")
    if not isinstance(value, list) or len(value) != shape[0]:
        found = f"is a list of {len(value)}" if isinstance(value, list) else "is no list"
        detail = f"give numbers of the shape {list(shape)}; this {found}."
        raise BadRow(pointer, "wrong_shape", detail, list(shape))
    return [_read_numbers(each, shape[1:], f"{pointer}/{at}", blanks) for at, each in enumerate(value)]


def _check_bytes(value: Any, pointer: str) -> None:
    """Raise `BadRow` at the first number that is no value of a pixel."""
    for at, each in enumerate(value):
        if isinstance(each, list):
            _check_bytes(each, f"{pointer}/{at}")
        elif not 0 <= each <= MAX_BYTE:
            detail = f"an image's values are numbers from 0 to {MAX_BYTE}, and this is {each:g}."
            raise BadRow(f"{pointer}/{at}", "out_of_range", detail, [0, MAX_BYTE])


def _read_tokens(row: Any, dataset: LanguageBase) -> Any:
    """Return a text, or tokens, of at least one and at most the context's length."""
    vocabulary = dataset.facts.vocabulary
    if not isinstance(row, str | list):
        raise BadRow("", "wrong_type", "a row is a text, or a list of tokens.")
    if not row:
        raise BadRow("", "too_short", "give one character, or one token, at least.", 1)
    for at, token in enumerate(row if isinstance(row, list) else ()):
        if not isinstance(token, int) or isinstance(token, bool) or not 0 <= token < vocabulary:
            raise BadRow(f"/{at}", "out_of_range", f"a token is a whole number from 0 to {vocabulary - 1}.")
    if isinstance(row, list) and len(row) > dataset.context:
        raise BadRow("", "too_long", f"has {len(row)} tokens; the model sees {dataset.context}.", dataset.context)
    return row


def _check_base64(text: str) -> str:
    """Return the text; whether it is an image is seen where it is decoded."""
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise BadRow("", "not_base64", "an image is its file in base64, or numbers from 0 to 255.") from None
    return text
