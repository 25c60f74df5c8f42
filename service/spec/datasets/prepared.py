"""The feature columns of an upload as its preparation needs them read, judged from the file's report alone."""

from collections.abc import Iterator, Sequence

from service.errors import Problem
from service.spec.component import under
from service.spec.datasets.columns import class_names, gaps, number
from service.spec.datasets.report import MAX_CLASSES, Column
from service.spec.preparation import StepBase
from service.spec.preparation.base import Feature, Source
from service.spec.preparation.plan import encoded_names, plan_steps

MAX_FEATURES = 65_536  # after the preparation


def read_sources(steps: Sequence[StepBase], columns: Sequence[Column]) -> tuple[Source, ...]:
    """Return how each column is read: as numbers, or as categories if a step encodes it."""
    encoded = encoded_names(steps, [column.name for column in columns if column.type == "text"])
    return tuple(
        Source(
            name=column.name,
            categories=class_names([column]) if column.name in encoded else None,
            blanks=column.missing > 0,
        )
        for column in columns
    )


def features_of(sources: Sequence[Source], columns: Sequence[Column] = ()) -> tuple[Feature, ...]:
    """Return the features before the first step; their range is known if their columns are given."""
    ranges = {column.name: (column.min, column.max) for column in columns}
    return tuple(Feature(each.name, each.categories, each.blanks, *ranges.get(each.name, ())) for each in sources)


def filled_names(steps: Sequence[StepBase], columns: Sequence[Column]) -> set[str]:
    """Return the columns with missing values that some step fills."""
    planned, _ = plan_steps(steps, features_of(read_sources(steps, columns)))
    return {each.before[at].name for each in planned if each.step.fills for at in each.taken}


def preparation_problems(
    steps: Sequence[StepBase], columns: Sequence[Column], given: tuple[str, ...] | None, rows: int
) -> Iterator[Problem]:
    """Yield why the preparation does not fit the columns, or leaves some that no model takes."""
    if steps and (wide := [column.name for column in columns if column.shape]):
        detail = f"{', '.join(wide[:3])} has several values a row: steps take columns of single values."
        yield Problem("/prepare", "wrong_shape", detail)
        return
    sources = read_sources(steps, columns)
    planned, problems = plan_steps(steps, features_of(sources, columns))
    yield from under("/prepare", problems)
    left = {feature.name: feature for feature in (planned[-1].after if planned else ())}
    for index, (column, source) in enumerate(zip(columns, sources, strict=True)):
        pointer = "/features" if given is None else f"/features/{index}"
        blanks = left[column.name].blanks if column.name in left else column.missing and not steps
        if blanks or column.infinite or column.missing == rows:
            yield Problem(pointer, "missing_values", gaps(column, rows, is_feature=True))
        elif source.categories is not None:
            yield from _encodable(column)
        else:
            yield from number(column, pointer, encoding_advice(column))
    if planned and not problems and len(planned[-1].after) > MAX_FEATURES:
        detail = f"makes {len(planned[-1].after)} features of {len(columns)} columns; at most {MAX_FEATURES}."
        yield Problem("/prepare", "too_large", detail, MAX_FEATURES)


def encoding_advice(column: Column) -> str:
    """Return what to do about a column of text or another type."""
    if column.type != "text":
        return "leave it out of /features, or upload it as numbers"
    step = f'{{"kind": "one_hot", "columns": ["{column.name}"]}}'
    return f"add {step} to /dataset/prepare, leave it out of /features, or upload it as numbers"


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
