"""The feature columns of an upload as its preparation needs them read, judged from the file's report alone."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from service.errors import Problem
from service.spec.component import under
from service.spec.datasets.base import MAX_FEATURES
from service.spec.datasets.columns import class_names, gaps, number
from service.spec.datasets.report import MAX_CLASSES, Column
from service.spec.preparation import StepBase
from service.spec.preparation.base import Feature, Source, number_features
from service.spec.preparation.plan import encoded_names, plan_steps


def read_sources(steps: Sequence[StepBase], columns: Sequence[Column]) -> tuple[Source, ...]:
    """Return how each column is read: as numbers, or as categories if a step encodes it."""
    encoded = encoded_names(steps, [column.name for column in columns if column.type == "text"])
    encoded -= {column.name for column in columns if column.shape}  # an array is of numbers
    return tuple(
        Source(
            name=column.name,
            categories=class_names([column]) if column.name in encoded else None,
            blanks=column.missing > 0,
        )
        for column in columns
    )


def features_of(
    sources: Sequence[Source], shape: tuple[int, ...], columns: Sequence[Column] = ()
) -> tuple[Feature, ...]:
    """Return the features before the first step: columns, whose range is known if they are given, or an array's.

    `shape` is that of a row as it is read.
    """
    if shape != (len(sources),):
        (array,) = sources
        return number_features(math.prod(shape), array.blanks)
    ranges = {column.name: (column.min, column.max) for column in columns}
    return tuple(Feature(each.name, each.categories, each.blanks, *ranges.get(each.name, ())) for each in sources)


def filled_names(steps: Sequence[StepBase], columns: Sequence[Column]) -> set[str]:
    """Return the columns with missing values that some step fills."""
    if len(columns) > 1 and any(column.shape for column in columns):
        return set()  # which is refused
    sources, shape = read_sources(steps, columns), row_shape(columns)
    planned, _ = plan_steps(steps, features_of(sources, shape))
    filled = {each.before[at].name for each in planned if each.step.fills for at in each.taken}
    return filled if shape == (len(sources),) else {each.name for each in sources if filled}


def row_shape(columns: Sequence[Column]) -> tuple[int, ...]:
    """Return the shape of a row of these columns: single values side by side, or one array."""
    return columns[0].shape if len(columns) == 1 and columns[0].shape else (len(columns),)


def preparation_problems(
    steps: Sequence[StepBase], columns: Sequence[Column], given: tuple[str, ...] | None, rows: int
) -> Iterator[Problem]:
    """Yield why the preparation does not fit the columns, or leaves some that no model takes."""
    if steps and len(columns) > 1 and any(column.shape for column in columns):
        return  # which is refused
    shape, sources = row_shape(columns), read_sources(steps, columns)
    if steps and math.prod(shape) > MAX_FEATURES:
        detail = f"a row has {math.prod(shape)} numbers; steps take at most {MAX_FEATURES}: leave it out."
        yield Problem("/prepare", "too_large", detail, MAX_FEATURES)
        return
    planned, problems = plan_steps(steps, features_of(sources, shape, columns) if steps else ())
    yield from under("/prepare", problems)
    left = {feature.name: feature for feature in (planned[-1].after if planned else ())}
    if planned and shape != (len(columns),):
        left = {columns[0].name: replace(left["0"], blanks=any(feature.blanks for feature in left.values()))}
    for index, (column, source) in enumerate(zip(columns, sources, strict=True)):
        pointer = "/features" if given is None else f"/features/{index}"
        blanks = left[column.name].blanks if column.name in left else column.missing and not steps
        if blanks or column.infinite or column.missing == rows:
            yield Problem(pointer, "missing_values", gaps(column, rows, is_feature=True))
        elif source.categories is not None:
            yield from _encodable(column)
            if not problems and column.name in left and left[column.name].categories is not None:
                yield _left_as_text(column)
        else:
            yield from number(column, pointer, encoding_advice(column))
    if planned and not problems and len(planned[-1].after) > MAX_FEATURES:
        detail = f"makes {len(planned[-1].after)} features of {len(columns)} columns; at most {MAX_FEATURES}."
        yield Problem("/prepare", "too_large", detail, MAX_FEATURES)
    if planned and not problems and len(shape) > 1 and len(planned[-1].after) != math.prod(shape):
        detail = f"makes {len(planned[-1].after)} features of rows of shape {list(shape)}, which no shape fits"
        yield Problem("/prepare", "wrong_shape", f"{detail}: leave out steps and indicators that add features.")


def encoding_advice(column: Column) -> str:
    """Return what to do about a column of text or another type."""
    if column.type != "text":
        return "leave it out of /features, or upload it as numbers"
    step = f'{{"kind": "one_hot", "columns": ["{column.name}"]}}'
    return f"add {step} to /dataset/prepare, leave it out of /features, or upload it as numbers"


def _left_as_text(column: Column) -> Problem:
    """Return the problem of a column that had blanks at the step that would encode it, and was filled after it."""
    order = "the step that fills its missing values must come before the one that encodes it"
    return Problem("/prepare", "not_encoded", f"the column {column.name} is still text after the last step: {order}.")


def _encodable(column: Column) -> Iterator[Problem]:
    """Yield why a column is none of categories."""
    if column.type == "other":
        yield from number(column, "/prepare", encoding_advice(column))
    elif column.classes is None:
        detail = (
            f"the column {column.name} has more than {MAX_CLASSES} different values, or some that cannot be shown: "
            "leave it out of /features, or upload it with fewer."
        )
        yield Problem("/prepare", "too_many_categories", detail, MAX_CLASSES)
