"""Problems of the columns that a spec selects from an upload, found from its report alone."""

from collections.abc import Iterator

from service.errors import Problem
from service.spec.datasets.number_formats import parse_numbers
from service.spec.datasets.report import MAX_FLOAT32, Column


def gaps(column: Column, rows: int, is_feature: bool = False) -> str:
    """Return the message about a column's missing or infinite values."""
    if not column.missing:
        what = "1 infinite value" if column.infinite == 1 else f"{column.infinite} infinite values"
        return f"the column {column.name} has {what} (or beyond the range of doubles): replace them, and upload again."
    if column.missing == rows:
        return f"the column {column.name} has no value in any row: choose other columns (/features, /predict)."
    first = f" (first: {', '.join(map(str, column.missing_rows))})" if column.missing_rows else ""
    what = f"{column.missing} {'row' if column.missing == 1 else 'rows'} without a value{first}"
    fill = "or fill them and upload again"
    if is_feature:
        strategy = ', "strategy": "most_frequent"' if column.type == "text" else ""
        named = "" if column.shape else f', "columns": ["{column.name}"]'
        fill = f'or add {{"kind": "impute"{named}{strategy}}} to /dataset/prepare'
    return f"the column {column.name} has {what}: set /missing to drop to leave them out, {fill}."


def number(column: Column, pointer: str, fix: str) -> Iterator[Problem]:
    """Yield a problem for a column without numbers, or with some that are too large."""
    if column.type in ("text", "other"):
        first = f" (row {column.text_row} of its data is the first that is no number)" if column.text_row else ""
        yield Problem(pointer, "not_a_number", f"the column {column.name} is {column.holds or 'text'}{first}: {fix}.")
    elif max(abs(column.min or 0.0), abs(column.max or 0.0)) > MAX_FLOAT32:
        detail = f"the column {column.name} has values beyond {MAX_FLOAT32}, the range of 32 bits: rescale it."
        yield Problem(pointer, "too_large", detail, MAX_FLOAT32)


def weight_column(column: Column) -> Iterator[Problem]:
    """Yield why a column holds no weights of rows."""
    if column.shape:
        yield Problem("/weights", "wrong_shape", f"has {list(column.shape)} values a row: it must be one value.")
    elif column.missing:
        first = f" (first: {', '.join(map(str, column.missing_rows))})" if column.missing_rows else ""
        what = f"{column.missing} {'row' if column.missing == 1 else 'rows'} without a value{first}"
        detail = f"the column {column.name} has {what}: write 0 for a row that is never to be drawn, and upload again."
        yield Problem("/weights", "missing_values", detail)
    else:
        yield from number(column, "/weights", "weights are numbers of 0 or above")


def shapes(columns: list[Column]) -> Iterator[Problem]:
    """Yield a problem unless the columns are single values, or one array alone."""
    if len(columns) > 1 and (wide := [column.name for column in columns if column.shape]):
        detail = f"{', '.join(wide[:3])} has several values a row: choose it alone, or only columns of single values."
        yield Problem("/features", "wrong_shape", detail)


def distribution(columns: list[Column], rows: int) -> Iterator[Problem]:
    """Yield columns that hold neither probabilities nor their logarithms; the worker checks that they sum to 1."""
    if len(columns) == 1 and (len(columns[0].shape) != 1 or columns[0].shape[0] < 2):
        detail = "a distribution is several columns, or one array with a probability for each class."
        yield Problem("/predict", "wrong_shape", detail)
        return
    for column in columns:
        if len(columns) > 1 and column.shape:
            yield Problem("/predict", "wrong_shape", f"{column.name} has several values a row: name it alone.")
        elif column.missing or column.infinite:
            yield Problem("/predict", "missing_values", gaps(column, rows))
        elif column.type in ("text", "other"):
            detail = f"the column {column.name} is {column.holds or 'text'}: upload probabilities."
            yield Problem("/predict", "not_a_number", detail)
        elif (column.max or 0.0) > 1 or ((column.min or 0.0) < 0 < (column.max or 0.0)):
            detail = f"the column {column.name} goes from {column.min:g} to {column.max:g}: no probability does."
            yield Problem("/predict", "out_of_range", detail)


def no_classes(columns: list[Column]) -> tuple[str, ...]:
    """Return no classes, for values."""
    return ()


def share_names(columns: list[Column]) -> tuple[str, ...]:
    """Return the classes of a distribution: the names of its columns, or the positions of an array."""
    if len(columns) == 1:
        return tuple(map(str, range(columns[0].shape[0])))
    return tuple(column.name for column in columns)


def class_names(columns: list[Column]) -> tuple[str, ...]:
    """Return the values of a class column: numbers in order of size, then of spelling; words in order of spelling."""
    (column,) = columns
    values = list(column.classes or ())
    if column.type in ("text", "boolean"):
        return tuple(sorted(values))
    size = parse_numbers(values)
    return tuple(sorted(values, key=lambda name: (size[name], name)))
