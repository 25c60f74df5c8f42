"""Rows to predict: read as the data has them, or refused by row and column."""

from typing import Any

import pytest

from service.spec.datasets import DatasetBase
from service.spec.datasets.bundled import Iris
from service.spec.datasets.images import Images
from service.spec.datasets.text import Text
from service.spec.datasets.uploaded import Upload
from service.spec.prediction_rows import MAX_TOLD, read_rows
from service.spec.preparation.base import Source
from service.spec.preparation.imputing import Impute
from service.spec.preparation.transforms import Divide

ID, SHA = "dat_" + "0" * 26, "ab" * 32
TABLE = Upload.model_validate(
    {
        "upload": ID,
        "predict": "price",
        "task": "regression",
        "prepare": ({"kind": "impute"}, {"kind": "one_hot"}),
        "resolved": {
            "sha256": SHA,
            "format": "csv",
            "rows": 100,
            "shape": (3,),
            "columns": (
                {"name": "age", "blanks": True},
                {"name": "size/m2"},
                {"name": "city", "categories": ("Oslo", "Rome")},
            ),
            "inputs": 4,
        },
    }
)
ARRAY = Upload.model_validate(
    {
        "upload": ID,
        "predict": "y",
        "task": "regression",
        "features": ("image",),
        "resolved": {"sha256": SHA, "format": "npz", "rows": 100, "shape": (2, 2)},
    }
)
FILLED = ARRAY.model_copy(
    update={
        "prepare": (Impute(),),
        "resolved": ARRAY.found.model_copy(update={"columns": (Source(name="image", blanks=True),), "inputs": 4}),
    }
)
TEXT = Text.model_validate(
    {
        "upload": ID,
        "context": 3,
        "resolved": {"sha256": SHA, "format": "text", "rows": 100, "shape": (3,), "characters": "abc"},
    }
)
IMAGES = Images.model_validate(
    {
        "upload": ID,
        "size": 4,
        "channels": 1,
        "resolved": {"sha256": SHA, "format": "images", "rows": 100, "shape": (1, 4, 4), "classes": ("a", "b")},
    }
)


def told(dataset: DatasetBase, row: Any, features: Any = None) -> list[tuple[str, str, str | None]]:
    found, problems = read_rows(dataset, features, [row])
    assert bool(problems) != bool(found)
    return [(each.pointer, each.code, each.did_you_mean) for each in problems]


def test_rows_of_a_table_come_out_in_the_order_of_its_columns() -> None:
    rows = [{"city": "Bern", "price": 1, "size/m2": 3, "age": None}, [None, 3, "Bern"], [None, "3.0", "Bern"]]
    assert read_rows(TABLE, None, rows) == ([[None, 3, "Bern"]] * 2 + [[None, 3.0, "Bern"]], [])
    assert read_rows(Iris(), None, [["1e-1", 2, "true", 4]]) == ([[0.1, 2, 1.0, 4]], [])
    assert read_rows(ARRAY, ["image"], [[[1, 2], [3, 4]]]) == ([[[1, 2], [3, 4]]], [])
    assert read_rows(FILLED, ["image"], [[[1, None], [3, 4]]]) == ([[[1, None], [3, 4]]], [])
    divided = Iris(prepare=(Divide(by=2, columns=("0",)),))
    assert read_rows(divided, None, [[1, 2, 3, 4]]) == ([[1, 2, 3, 4]], [])
    assert read_rows(TEXT, None, ["ab", [2, 1, 0]]) == (["ab", [2, 1, 0]], [])
    assert read_rows(IMAGES, None, ["aGVsbG8="]) == (["aGVsbG8="], [])


@pytest.mark.parametrize(
    ("dataset", "row", "expected"),
    [
        (TABLE, {"age": 1, "size/m2": "big", "city": "Rome"}, ("/rows/0/size~1m2", "not_a_number", None)),
        (TABLE, {"age": 1, "size/m2": None, "city": "Rome"}, ("/rows/0/size~1m2", "missing_value", None)),
        (TABLE, {"age": 1, "size/m2": 1, "city": None}, ("/rows/0/city", "missing_value", None)),
        (TABLE, {"agee": 1, "size/m2": 1, "city": "Rome"}, ("/rows/0", "no_such_column", "agee")),
        (TABLE, {"age": "nan", "size/m2": 1, "city": "Rome"}, ("/rows/0/age", "not_a_number", None)),
        (TABLE, {"age": 1e39, "size/m2": 1, "city": "Rome"}, ("/rows/0/age", "too_large", None)),
        (TABLE, [1, 1, ["Rome"]], ("/rows/0/2", "wrong_type", None)),
        (TABLE, [1, 1], ("/rows/0", "wrong_length", None)),
        (TABLE, "Rome", ("/rows/0", "wrong_type", None)),
        (ARRAY, [[1, 2], [3]], ("/rows/0/1", "wrong_shape", None)),
        (ARRAY, [[1, 2], [3, "x"]], ("/rows/0/1/1", "not_a_number", None)),
        (ARRAY, [[1, 2], [3, None]], ("/rows/0/1/1", "not_a_number", None)),
        (FILLED, [[1, 2], [3]], ("/rows/0/1", "wrong_shape", None)),
        (TEXT, "", ("/rows/0", "too_short", None)),
        (TEXT, [0, 3], ("/rows/0/1", "out_of_range", None)),
        (TEXT, [0, True], ("/rows/0/1", "out_of_range", None)),
        (TEXT, [0, 1, 2, 0], ("/rows/0", "too_long", None)),
        (TEXT, {"text": "a"}, ("/rows/0", "wrong_type", None)),
        (IMAGES, "no base64", ("/rows/0", "not_base64", None)),
        (IMAGES, [[[0] * 4] * 3], ("/rows/0/0", "wrong_shape", None)),
        (IMAGES, [[[0] * 4] * 3 + [[0, 0, 256, 0]]], ("/rows/0/0/3/2", "out_of_range", None)),
        (IMAGES, [[[0.5] * 4] * 3 + [[0, -1, 0, 0]]], ("/rows/0/0/3/1", "out_of_range", None)),
    ],
)
def test_what_does_not_fit_is_told_by_row_and_column(dataset: DatasetBase, row: Any, expected: Any) -> None:
    assert told(dataset, row) == [expected]


def test_a_decimal_comma_is_told_how_to_be_written() -> None:
    details = [read_rows(Iris(), None, [[text, 1, 1, 1]])[1][0].detail for text in ("1,5", "1.234,5", "big")]
    assert [detail.endswith("none: write it with a point, as 1234.5.") for detail in details] == [True, True, False]


def test_so_many_problems_are_told_and_no_more() -> None:
    _, problems = read_rows(Iris(), None, [[]] * 100)
    assert len(problems) == MAX_TOLD
