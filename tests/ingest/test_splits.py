"""Splits by a column: scikit-learn and pandas are the referee, row for row."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.errors import Invalid
from service.ingest import count_split, inspect_file, without_incomplete_rows
from service.ingest.splits.assignment import assign_parts
from service.ingest.splits.counting import SplitRequest
from service.spec.datasets.report import Reading
from service.spec.datasets.splits import PARTS, ColumnSplit, GroupSplit, TimeSplit
from service.spec.datasets.uploaded import Upload

ROWS = 97
DRAW = np.random.RandomState(3)
FRAME = pd.DataFrame(
    {
        "x": DRAW.standard_normal(ROWS),
        "y": DRAW.standard_normal(ROWS),
        "patient": DRAW.randint(0, 23, ROWS) * 5,
        "name": [f"p{number}" for number in DRAW.randint(0, 12, ROWS)],
        "part": DRAW.choice(["Train", "val", "TEST"], ROWS),
        "day": pd.Timestamp("2026-01-01") + pd.to_timedelta(DRAW.randint(0, 30, ROWS), "D"),
        "year": DRAW.randint(1990, 2010, ROWS),
    }
)


@pytest.fixture(params=["csv", "parquet"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Any]:
    path = tmp_path / "content"
    (FRAME.to_csv if request.param == "csv" else FRAME.to_parquet)(path, index=False)
    return path, request.param


def parts_of(stored: tuple[Path, Any], split: Any, shares: tuple[float, float], seed: int = 0) -> list[list[int]]:
    """The row numbers of each part."""
    parts = assign_parts(*stored, Reading(rules=2), split, shares, seed)
    return [np.flatnonzero(parts == part).tolist() for part in range(len(PARTS))]


def upload(**fields: Any) -> Upload:
    document = {"kind": "upload", "upload": "dat_" + "0" * 26, "predict": "y", "task": "regression"}
    return Upload.model_validate(document | fields)


@pytest.mark.parametrize("column", ["patient", "name"])
@pytest.mark.parametrize(("validation", "test"), [(0.2, 0.0), (0.25, 0.15), (0.0, 0.3), (0.1, 0.1)])
def test_groups_are_drawn_as_scikit_learn_draws_them(
    stored: tuple[Path, Any], column: str, validation: float, test: float
) -> None:
    from sklearn.model_selection import GroupShuffleSplit

    for seed in range(3):
        found = parts_of(stored, GroupSplit(column=column), (validation, test), seed)
        rest, held_out = np.arange(ROWS), np.array([], int)
        groups = FRAME[column].nunique()
        if test:
            (rest, held_out), *_ = GroupShuffleSplit(1, test_size=test, random_state=seed).split(
                FRAME, groups=FRAME[column]
            )
        assert found[2] == held_out.tolist()
        both = int(np.ceil(groups * validation)) + int(np.ceil(groups * test))
        if validation:
            (train, other), *_ = GroupShuffleSplit(1, test_size=both, random_state=seed).split(
                FRAME, groups=FRAME[column]
            )
            assert found[:2] == [train.tolist(), sorted(set(other) - set(held_out))]
        else:
            assert found[:2] == [rest.tolist(), []]
        owners = [set(FRAME[column].iloc[rows]) for rows in found]
        assert len(set.union(*owners)) == sum(map(len, owners))  # no group twice


@pytest.mark.parametrize("column", ["day", "year"])
def test_the_last_rows_by_time_are_held_out(stored: tuple[Path, Any], column: str) -> None:
    order = FRAME.sort_values(column, kind="stable").index.to_numpy()
    validation, test = round(0.2 * ROWS), round(0.1 * ROWS)
    train, middle, last = np.split(order, [ROWS - validation - test, ROWS - test])
    found = parts_of(stored, TimeSplit(column=column), (0.2, 0.1))
    assert found == [sorted(part.tolist()) for part in (train, middle, last)]


@pytest.mark.parametrize(
    "times",
    [
        ["2026-03-01T12:00:00+02:00", "2026-03-01T11:30:00Z", "2026-03-02T00:00:00Z"],
        ["2026-03-01 10:00", "2026-03-01 11:30:00.5", " 2026-03-02"],
        ["-5", "3.5", "1e3"],
    ],
)
def test_times_are_compared_as_times(times: list[str], tmp_path: Path) -> None:
    """The three are in order; they are stored last first."""
    path = tmp_path / "content"
    path.write_text("t,y\n" + "".join(f"{cell},1\n" for cell in times[::-1]))
    assert parts_of((path, "csv"), TimeSplit(column="t"), (0.33, 0.33)) == [[2], [1], [0]]


def test_a_column_names_the_parts(stored: tuple[Path, Any]) -> None:
    rows = [np.flatnonzero(FRAME["part"] == name).tolist() for name in ("Train", "val", "TEST")]
    assert parts_of(stored, ColumnSplit(column="part"), (0, 0)) == rows


@pytest.mark.parametrize(
    ("cells", "groups"),
    [(["7", "7.0", "10", " 9 "], [0, 0, 2, 1]), (["007", "7", "10", "9"], [0, 1, 3, 2]), (["b", "a", "B", "a"], None)],
)
def test_groups_are_told_apart_by_value_unless_they_are_codes(
    cells: list[str], groups: list[int] | None, tmp_path: Path
) -> None:
    from service.ingest.splits.column_values import read_labels

    path = tmp_path / "content"
    path.write_text("g,y\n" + "".join(f"{cell},1\n" for cell in cells))
    found = read_labels(path, "csv", Reading(rules=2), "g").rows
    assert found.tolist() == (groups or np.unique(cells, return_inverse=True)[1].tolist())


@pytest.mark.parametrize(
    ("split", "shares", "code"),
    [
        (ColumnSplit(column="name"), (0.0, 0.0), "unknown_part"),
        (TimeSplit(column="name"), (0.2, 0.0), "wrong_time"),
        (GroupSplit(column="part"), (0.5, 0.4), "too_few_groups"),
    ],
)
def test_a_column_that_cannot_split_is_refused_at_its_field(
    stored: tuple[Path, Any], split: Any, shares: tuple[float, float], code: str
) -> None:
    with pytest.raises(Invalid) as refused:
        parts_of(stored, split, shares)
    assert [(p.pointer, p.code) for p in refused.value.problems] == [("/dataset/split/column", code)]


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"split": {"kind": "group", "column": "patients"}}, "/split/column", "no_such_column"),
        ({"split": {"kind": "time", "column": "y"}}, "/split/column", "contradiction"),
        ({"split": {"kind": "group", "column": "gaps"}}, "/split/column", "missing_values"),
        ({"split": {"kind": "group", "column": "list"}}, "/split/column", "wrong_type"),
    ],
)
def test_what_the_report_tells_is_refused_before_the_file_is_read(
    fields: Any, pointer: str, code: str, tmp_path: Path
) -> None:
    gaps = [None if row == 4 else row for row in range(ROWS)]
    columns = {"patient": FRAME["patient"], "y": FRAME["y"], "gaps": gaps, "list": [[1]] * ROWS}
    pq.write_table(pa.table(columns), tmp_path / "content")
    report = inspect_file(tmp_path / "content")
    wanted = upload(features=("patient",), **fields)
    assert [(p.pointer, p.code) for p in wanted.resolve(report, "0" * 64)[1]] == [(pointer, code)]


def test_the_reading_process_counts_what_is_left_after_incomplete_rows(stored: tuple[Path, Any]) -> None:
    from sklearn.model_selection import GroupShuffleSplit

    path, kind = stored
    frame = FRAME.assign(x=FRAME["x"].where(FRAME.index % 5 > 0))
    (frame.to_csv if kind == "csv" else frame.to_parquet)(path, index=False)
    split = {"kind": "group", "column": "patient"}
    wanted = upload(missing="drop", features=("x",), split=split, test=0.1)
    report = inspect_file(path)
    found, problems = wanted.resolve(without_incomplete_rows([path], [report], wanted)[0], "0" * 64)
    assert problems == []
    assert found is not None
    resolved = wanted.model_copy(update={"resolved": found.model_copy(update={"dropped": ROWS - found.rows})})
    counted, untrained = count_split(path, resolved)
    assert untrained == ()
    left = frame.dropna()
    splitter = GroupShuffleSplit(1, test_size=0.1, random_state=0)
    (_, held_out), *_ = splitter.split(left, groups=left["patient"])
    assert (counted.train + counted.validation + counted.test, counted.test) == (len(left), len(held_out))
    parts = SplitRequest.of(resolved).assign(path)
    assert np.flatnonzero(parts == PARTS.index("test")).tolist() == held_out.tolist()


@pytest.mark.parametrize("missing", ["refuse", "drop"])
def test_classes_that_no_training_row_has_are_warned_of(missing: str, tmp_path: Path) -> None:
    rows = [f"{i},{'abc'[i % 3]},{'val' if i % 3 == 2 or i < 6 else 'train'}" for i in range(30)]
    gap = ",a,train\n" if missing == "drop" else ""
    (tmp_path / "content").write_text("\n".join(["x,y,part", gap + rows[0], *rows[1:]]))
    wanted = upload(features=("x",), task="classification", split={"kind": "column", "column": "part"}, missing=missing)
    report = inspect_file(tmp_path / "content")
    kept = without_incomplete_rows([tmp_path / "content"], [report], wanted)[0]
    found, _ = wanted.resolve(kept, "0" * 64)
    assert found is not None
    found = found.model_copy(update={"dropped": report.rows - kept.rows})
    split, untrained = count_split(tmp_path / "content", wanted.model_copy(update={"resolved": found}))
    assert untrained == ("c",)
    told = found.model_copy(update={"split": split, "untrained": untrained})
    warned = [each for each in wanted.model_copy(update={"resolved": told}).warnings() if each.pointer == "/split"]
    assert [each.code for each in warned] == ["class_untrained"]
    assert warned[0].detail == "no training row has the class c: a model cannot learn what only other parts have."


def test_the_column_of_a_split_is_no_feature_unless_it_is_named(stored: tuple[Path, Any]) -> None:
    report = inspect_file(stored[0])
    columns = ["x", "patient", "year"]
    kept = tuple(column for column in report.columns if column.name in (*columns, "y"))
    report = report.model_copy(update={"columns": kept})
    split = {"kind": "group", "column": "patient"}
    found, _ = upload(split=split).resolve(report, "0" * 64)
    assert found is not None
    assert (found.aside, found.shape) == (("patient",), (2,))
    named, _ = upload(split=split, features=tuple(columns)).resolve(report, "0" * 64)
    assert named is not None
    assert (named.aside, named.shape) == ((), (3,))
