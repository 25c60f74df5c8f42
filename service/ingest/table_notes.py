"""What to know of a table before training on it: sentences for its report."""

import unicodedata
from collections.abc import Callable, Iterator, Sequence

from service.ingest.column_statistics import ColumnStatistics
from service.spec.datasets.precision import MIN_SPACINGS, is_coarse
from service.spec.datasets.report import Column
from service.spec.validation_errors import sanitise

MAX_NAMED = 5  # columns that a sentence names


def notes_on(
    columns: Sequence[Column], found: Sequence[ColumnStatistics], ambiguous: Sequence[str], rows: int, test: int
) -> Iterator[str]:
    """Yield each kind of oddity once, with the columns that have it; `ambiguous` ones may use points for thousands."""
    for reason in dict.fromkeys(column.aside for column in columns if column.aside):
        aside = [column for column in columns if column.aside == reason]
        yield f"{_listed(aside)}: no feature unless /features names it, because {reason}."
    yield from notes_on_unread(columns)
    if empty := [column for column in columns if column.missing == rows]:
        yield f"{_listed(empty)}: no value in any row, so leave it out of /features."
    if gaps := [column for column in columns if 0 < column.missing < rows]:
        yield f"{_listed(gaps)}: rows without a value. Steps of prepare fill them, missing drop leaves them out."
    yield from _notes_on_notation(columns, found, ambiguous)
    texts = [column for column in columns if column.type == "text"]
    if alike := [column for column in texts if _coincide(column, str.strip)]:
        yield f"{_listed(alike)}: values that differ only in blanks around them, which are different classes."
    if twins := [column for column in texts if _coincide(column, _normalised)]:
        yield f"{_listed(twins)}: values that look alike and are two classes, because accents are written in two ways."
    if coarse := [column for column in columns if is_coarse(column.std, column.min, column.max)]:
        few = f"varies by less than {MIN_SPACINGS} float32 spacings at its size"
        yield f"{_listed(coarse)}: {few}. Scaled (the default) it keeps every digit; with scaling none it loses some."
    if test:
        yield f"x_train and x_test are one column x, and so on: the last {test} of {rows} rows are the test part."


def notes_on_unread(columns: Sequence[Column]) -> Iterator[str]:
    """Yield each type that is not read, with the columns of it."""
    for kind in dict.fromkeys(column.holds for column in columns if column.holds):
        unread = [column for column in columns if column.holds == kind]
        instead = "as numbers or texts" if kind != "binary" else "as numbers or texts, and images as {bytes, path}"
        yield f"{_listed(unread)}: {kind}, which is not read; to train on it, upload it {instead}."


def _notes_on_notation(
    columns: Sequence[Column], found: Sequence[ColumnStatistics], ambiguous: Sequence[str]
) -> Iterator[str]:
    """Yield how numbers with commas, thousands separators or leading zeros are read."""
    texts = {column.name for column in columns if column.type == "text"}
    commas = {each.name for each in found if each.commas}
    grouped = {each.name for each in found if each.grouped} - texts
    if unclear := [column for column in columns if column.name in commas & texts]:
        yield f"{_listed(unclear)}: text, because a comma may mark decimals or separate thousands: write a point."
    if decimal := [column for column in columns if column.name in commas - texts]:
        yield f"{_listed(decimal)}: decimal commas, so 1,5 is read as 1.5."
    if thousands := [column for column in columns if column.name in grouped]:
        yield (
            f"{_listed(thousands)}: thousands separators, so 1.234,5 or 1,234.5 is 1234.5; "
            "classes are taken as written."
        )
    if unsure := [column for column in columns if column.name in ambiguous]:
        yield (
            f"{_listed(unsure)}: text, because in a file with decimal commas a point may mark decimals or separate "
            "thousands: write 1234 for 1.234, or 1,234 where that is what is meant."
        )
    if written := [column for column in columns if column.as_written and column.classes and column.name not in grouped]:
        yield f"{_listed(written)}: as classes taken as written, so 007 and 7 are two; as numbers by value."


def _coincide(column: Column, change: Callable[[str], str]) -> bool:
    """Whether two classes would be one after a change of their names."""
    classes = column.classes or {}
    return len({change(name) for name in classes}) < len(classes)


def _normalised(name: str) -> str:
    """Return a name with each accented letter as one character (Unicode's NFC)."""
    return unicodedata.normalize("NFC", name)


def _listed(columns: Sequence[Column]) -> str:
    """Return the names of the first few columns."""
    names = ", ".join(column.name for column in columns[:MAX_NAMED])
    more = f" and {len(columns) - MAX_NAMED} more" if len(columns) > MAX_NAMED else ""
    return sanitise(f"{'column' if len(columns) == 1 else 'columns'} {names}{more}")
