"""The columns of an upload that a spec predicts, judged from the file's report alone."""

from collections.abc import Iterator
from typing import Literal

from service.errors import Problem
from service.spec.datasets.columns import distribution, gaps, number
from service.spec.datasets.report import MAX_CLASSES, Column

TargetTransformKind = Literal["log1p", "power"]
TableTask = Literal["classification", "distribution", "regression"]


def target_problems(columns: list[Column], rows: int, task: TableTask, parts: int) -> Iterator[Problem]:
    """Yield why the columns do not fit the task; each of so many parts needs a row of each class."""
    column = columns[0]
    if task == "distribution":
        yield from distribution(columns, rows)
    elif len(columns) > 1 and task == "regression":
        yield from _value_problems(columns, rows)
    elif len(columns) > 1:
        detail = "several columns are a distribution or a regression: set /task, or name one."
        yield Problem("/predict", "wrong_shape", detail)
    elif column.shape:
        yield Problem("/predict", "wrong_shape", f"has {list(column.shape)} values a row: it must be one value.")
    elif column.missing or column.infinite:
        yield Problem("/predict", "missing_values", gaps(column, rows))
    elif task == "regression":
        yield from number(column, "/predict", "set /task to classification, or choose a column of numbers")
    else:
        yield from _class_problems(column, parts)


def _class_problems(column: Column, parts: int) -> Iterator[Problem]:
    if column.classes is None:
        detail = (
            f"has more than {MAX_CLASSES} different values, or some that cannot be shown: "
            "set /task to regression, or choose another column."
        )
        yield Problem("/predict", "too_many_classes", detail, MAX_CLASSES)
    elif len(column.classes) < 2:
        yield Problem("/predict", "too_few_classes", "has one value only: nothing to tell apart.")
    elif rare := sorted(name for name, count in column.classes.items() if count < parts):
        detail = f"classes with fewer than {parts} rows ({', '.join(rare[:3])}): each part needs one of each"
        yield Problem("/predict", "class_too_small", f"{detail}; /validation 0 keeps none apart.", parts)


def _value_problems(columns: list[Column], rows: int) -> Iterator[Problem]:
    """Yield which of several columns are no numbers to predict."""
    for at, column in enumerate(columns):
        if column.shape:
            detail = f"has {list(column.shape)} values a row: it must be one value."
            yield Problem(f"/predict/{at}", "wrong_shape", detail)
        elif column.missing or column.infinite:
            yield Problem(f"/predict/{at}", "missing_values", gaps(column, rows))
        else:
            yield from number(column, f"/predict/{at}", "choose columns of numbers")


def transform_problems(columns: list[Column], kind: TargetTransformKind | None, task: TableTask) -> Iterator[Problem]:
    """Yield why the targets cannot be transformed."""
    if kind is None:
        return
    if task != "regression":
        detail = f"transforms numbers, and the task is {task}: leave it out."
        yield Problem("/prepare_target", "contradiction", detail)
    for column in columns if kind == "log1p" else ():
        if column.min is not None and column.min <= -1:
            detail = f"log1p takes values above -1, and the smallest of the column {column.name} is {column.min:g}"
            yield Problem("/prepare_target", "out_of_range", f"{detail}: use power.", -1)
