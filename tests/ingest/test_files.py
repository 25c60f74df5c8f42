"""Real files of every format: what is found in them, and what hostile ones are told."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.errors import Invalid
from service.ingest import inspect_file
from service.ingest.cells import to_doubles
from service.ingest.formats import detect_format
from service.ingest.report import read_batches
from service.spec.datasets.report import RULES, Reading, Report

TABLE = {"size": [1.5, 2.5, 4.0], "count": [1, 2, 3], "kind": ["a", "b", "a"]}
Write = Callable[[Path], None]


def as_csv(path: Path) -> None:
    rows = zip(*TABLE.values(), strict=True)
    path.write_text("\n".join([",".join(TABLE), *(",".join(map(str, row)) for row in rows)]) + "\n")


def as_jsonl(path: Path) -> None:
    rows = [dict(zip(TABLE, row, strict=True)) for row in zip(*TABLE.values(), strict=True)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_parquet(path: Path) -> None:
    pq.write_table(pa.table(TABLE), path)


def as_npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, **{name: np.array(values) for name, values in TABLE.items()})


WRITERS: dict[str, Write] = {"csv": as_csv, "jsonl": as_jsonl, "parquet": as_parquet, "npz": as_npz}


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "content"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def problem(path: Path, **more: Any) -> Any:
    with pytest.raises(Invalid) as caught:
        inspect_file(path, **more)
    return caught.value.problems[0]


def told_or_reported(path: Path, declared: Any = None) -> bool:
    """Whether there is a report or a problem in words; any other error goes through."""
    try:
        return inspect_file(path, declared).rows >= 0
    except Invalid as error:
        return error.problems[0].detail.endswith(".")


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_of_one_table_gives_one_report(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "content"
    WRITERS[kind](path)
    report = inspect_file(path)
    assert (report.format, report.rows, report.names) == (kind, 3, list(TABLE))
    size, count, word = report.columns
    assert (size.type, count.type, word.type) == ("number", "integer", "text")
    assert (size.min, size.max) == (1.5, 4.0)
    assert size.mean == pytest.approx(np.mean(TABLE["size"]))
    assert size.std == pytest.approx(np.std(TABLE["size"]))
    assert word.classes == {"a": 2, "b": 1}
    assert count.classes == {"1": 1, "2": 1, "3": 1}
    assert report.scale_ratio == pytest.approx(np.std(TABLE["size"]) / np.std(TABLE["count"]))
    assert report == Report.model_validate_json(report.model_dump_json())


@pytest.mark.parametrize("kind", WRITERS)
def test_some_columns_can_be_read_alone_with_the_same_values(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "content"
    WRITERS[kind](path)
    report = inspect_file(path)
    (batch,) = read_batches(path, report.format, ["count"], report.reading)
    assert list(batch) == ["count"]
    found = to_doubles(batch["count"])
    assert found is not None
    assert found.tolist() == [1.0, 2.0, 3.0]


def test_missing_constant_and_infinite_values_are_counted_by_column(tmp_path: Path) -> None:
    report = inspect_file(written(tmp_path, "x,same,far\n1,7,inf\n,7,2\nNaN,7,-inf\nNA,7,1\n"))
    x, same, far = report.columns
    assert (x.missing, same.missing, far.infinite) == (3, 0, 2)
    assert report.constant == ("same",)
    assert (far.min, far.max) == (1.0, 2.0)


def test_moments_over_many_batches_are_those_of_all_rows(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(1e6, 1e-2, 60_000)  # where squares of sums would lose every digit
    path = tmp_path / "content"
    pq.write_table(pa.table({"x": values}), path, row_group_size=1000)
    (column,) = inspect_file(path).columns
    assert column.std == pytest.approx(values.std(), rel=1e-6)
    assert column.mean == pytest.approx(values.mean(), rel=1e-12)
    assert column.classes is None


cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=20)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(cells, st.floats(allow_nan=False)), min_size=1, max_size=30))
def test_what_a_csv_writer_quotes_comes_back_as_it_was(tmp_path_factory: Any, rows: list[tuple[str, float]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerows([("word", "value"), *rows])
    path = tmp_path_factory.mktemp("csv") / "content"
    path.write_text(text.getvalue(), newline="")
    found = list(read_batches(path, "csv", None, Reading(rules=RULES)))
    assert [cell for batch in found for cell in batch["word"].to_pylist()] == [word for word, _ in rows]
    values = [to_doubles(batch["value"]) for batch in found]
    assert [v for part in values if part is not None for v in part.tolist()] == [value for _, value in rows]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.sampled_from([None, "csv", "jsonl", "text"]))
def test_any_bytes_are_reported_on_or_refused(tmp_path_factory: Any, content: bytes, declared: Any) -> None:
    path = tmp_path_factory.mktemp("any") / "content"
    path.write_bytes(content)
    assert told_or_reported(path, declared)


@settings(max_examples=60, deadline=None)
@given(st.data())
@pytest.mark.parametrize("kind", ["parquet", "npz"])
def test_a_damaged_binary_file_is_reported_on_or_refused(tmp_path_factory: Any, kind: str, data: Any) -> None:
    path = tmp_path_factory.mktemp("damaged") / "content"
    WRITERS[kind](path)
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(4, len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(raw[: data.draw(st.integers(5, len(raw)))]))
    assert told_or_reported(path)


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b"", "empty", "empty"),
        ("a,b\n", "empty", "no rows"),
        ("a,b\n1,2\n3\n", "ragged_row", "1 cells; the first line names 2"),
        ("a,b\n1,2\n1,2\n3,4,5\n", "ragged_row", "row 4 (the first line is row 1) has 3 cells"),
        ("1,2\n3,4\n", "no_header", "all numbers"),
        ("\n1,2\n", "no_header", "empty"),
        ("a,b,c\n1,x,2\n2,y,3\n".replace("a,b,c", "3,x,4"), "no_header", "header=false"),
        ("a,b,a\n1,2,3\n", "repeated_column", "column 3"),
        ("a\x07,b\n1,2\n", "bad_column_name", "column 1"),
        ("a,b\n1,2\n".encode("utf-16"), "wrong_format", "UTF-16"),
        (b"a,b\n1,\xe9\n", "not_utf8", "byte 6, in line 2,"),
        (b"a,b\n" + b"1,2\n" * 600_000 + b"\xe9", "not_utf8", "in line 600002,"),
        ("a,b\n1,2\n".encode("utf-16-le"), "not_text", "UTF-16"),
        (b"a,b", "empty", "no rows"),
        ('{"data": [{"a": 1}]}', "no_table", "records"),
        ('{\n "a": 1}', "unreadable", "one flat object per line"),
        (b"a,b\n1,\x00\n", "not_text", "byte 6"),
        (b"\x80\x04\x95abc", "wrong_format", "pickle"),
        (b"\x1f\x8b\x08abc", "wrong_format", "gzip"),
        (b"PAR1 and no more", "unreadable", "Parquet"),
        (b"PK\x03\x04 and no more", "unreadable", "NPZ"),
        ('{"a": 1}\n{"b": 1, "a": [1]}\n', "ragged_row", "line 2"),
        ('[{"a": 1}, 2]', "unreadable", "item 2"),
        ('[{"a": 1}, {"a": ]', "unreadable", "item 2"),
        ('[{"a": 1}, {"a": 2}', "unreadable", "item 3"),
        ('{"a": 1}\n{"b": 1}\n', "ragged_row", "line 2 has b, which the first row does not have"),
        ('{"a": 1}\n{"a": \n', "unreadable", "line 2"),
        ('{"a": 1}\n[1]\n', "unreadable", "line 2"),
        ('{"a": "\\ud800"}\n', "bad_character", "line 1"),
        ('{"a": ' + "[" * 100_000 + "\n", "unreadable", "line 1"),
        ("a,b\n" + chr(34) + "x" * 60_000_000 + chr(34) + ",2\n", "row_too_long", "16777216"),
        (",".join(f"c{i}" for i in range(10_001)) + "\n", "too_many_columns", "10000"),
    ],
)
def test_a_bad_file_is_refused_with_what_and_where(content: str | bytes, code: str, says: str, tmp_path: Path) -> None:
    told = problem(written(tmp_path, content))
    assert told.code == code
    assert says in told.detail


def test_a_file_of_tokens_is_refused_with_where_it_is_read_from(tmp_path: Path) -> None:
    """Small tokens of two bytes look like UTF-16, which such a file is not."""
    path = tmp_path / "given"
    path.write_bytes(np.arange(200, dtype=np.uint16).tobytes())
    told = []
    for name in ("train.bin", "train.csv"):
        with pytest.raises(Invalid) as refused:
            detect_format(path, None, name)
        told.append(refused.value.problems[0].detail)
    assert "token_files" in told[0]
    assert "token_files" not in told[1]


def test_a_problem_never_quotes_the_file(tmp_path: Path) -> None:
    told = problem(written(tmp_path, "a,b\n1,2\nsecret,secret,secret\n"))
    assert "secret" not in told.detail


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path: Path) -> None:
    assert inspect_file(written(tmp_path, "\ufeffa,b\n1,2\n")).names == ["a", "b"]
    assert inspect_file(written(tmp_path, "\ufeffabc"), "text").characters == "abc"


def test_formulas_are_text_and_semicolons_divide(tmp_path: Path) -> None:
    report = inspect_file(written(tmp_path, "a;b\n=1+1;2\n@x;3\n"))
    assert [column.type for column in report.columns] == ["text", "integer"]
    assert report.columns[0].classes == {"=1+1": 1, "@x": 1}


def test_windows_lines_and_quoted_line_breaks_are_rows_and_cells(tmp_path: Path) -> None:
    report = inspect_file(written(tmp_path, 'a,b\r\n1,"two\r\nlines"\r\n2,x\r\n'))
    assert report.rows == 2
    assert report.columns[1].classes is None or "x" in report.columns[1].classes


def test_a_declared_format_must_be_the_files_own(tmp_path: Path) -> None:
    as_parquet(tmp_path / "content")
    assert problem(tmp_path / "content", declared="csv").code == "wrong_format"
    assert problem(written(tmp_path, "a,b\n1,2\n"), declared="npz").code == "wrong_format"


def test_a_text_is_told_by_its_name_or_the_request(tmp_path: Path) -> None:
    path = written(tmp_path, "to be, or not\n")
    assert inspect_file(path, name="hamlet.txt") == inspect_file(path, "text")
    report = inspect_file(path, "text")
    assert (report.rows, report.characters) == (14, "\n ,benort")


def saved(path: Path, **arrays: Any) -> Path:
    with path.open("wb") as file:
        np.savez(file, allow_pickle=True, **arrays)
    return path


@pytest.mark.parametrize(
    ("arrays", "code"),
    [
        ({"x": np.array([{}, 1], object)}, "wrong_type"),
        ({"x": np.zeros(3, [("a", "f4")])}, "wrong_type"),
        ({"x": np.zeros(3, complex)}, "wrong_type"),
        ({"x": np.zeros(())}, "wrong_shape"),
        ({"x": np.zeros((2, 2, 2, 2, 2))}, "wrong_shape"),
        ({"x": np.zeros((2, 3)), "y": np.zeros(3)}, "ragged_row"),
        ({"x_train": np.zeros((2, 3)), "x_test": np.zeros((2, 4))}, "wrong_shape"),
    ],
)
def test_arrays_that_are_no_table_are_refused(arrays: dict[str, Any], code: str, tmp_path: Path) -> None:
    assert problem(saved(tmp_path / "content", **arrays)).code == code


def test_an_archive_of_other_things_or_of_too_much_is_refused(tmp_path: Path) -> None:
    for name in ("../x.npy", "a/x.npy", "x.txt"):
        with zipfile.ZipFile(tmp_path / "content", "w") as archive:
            archive.writestr(name, b"abc")
        assert problem(tmp_path / "content").code == "wrong_format"
    with zipfile.ZipFile(tmp_path / "content", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00v\x00" + b"0" * 50_000_000)  # packs a thousandfold
    assert problem(tmp_path / "content").code == "unreadable"


def test_a_parquet_file_without_a_column_that_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "content"
    pq.write_table(pa.table({"when": pa.array([0], pa.timestamp("s")), "nested": [[1, 2]]}), path)
    told = problem(path)
    assert (told.code, "the column when" in told.detail) == ("wrong_type", True)


def test_parquet_dictionaries_booleans_and_nulls_are_read(tmp_path: Path) -> None:
    path = tmp_path / "content"
    words = pa.array(["a", "b", None]).dictionary_encode()
    pq.write_table(pa.table({"word": words, "yes": [True, False, True], "n": pa.array([1, None, 3])}), path)
    word, yes, n = inspect_file(path).columns
    assert (word.type, word.missing, word.classes) == ("text", 1, {"a": 1, "b": 1})
    assert (yes.type, yes.classes) == ("boolean", {"true": 2, "false": 1})
    assert (n.type, n.missing) == ("integer", 1)


def test_a_column_that_float32_can_hardly_tell_apart_is_told(tmp_path: Path) -> None:
    report = inspect_file(written(tmp_path, "t,y\n" + "".join(f"{1_700_000_000 + i},{i}\n" for i in range(40))))
    (note,) = report.notes
    assert note.startswith("column t: varies by less than 1024 float32 spacings")
    assert inspect_file(written(tmp_path, "t,y\n0,1\n1,2\n")).notes == ()


def test_a_wide_report_stays_small(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(2000)]
    path = written(tmp_path, ",".join(names) + "\n" + "".join(f"{i}," * 1999 + "0\n" for i in range(100)))
    report = inspect_file(path)
    assert sum(len(column.classes or ()) for column in report.columns) <= 100_000
    assert report.constant == ("c1999",)


def test_arrays_of_other_lengths_are_named_with_their_rows_and_bytes_have_a_way_out(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train_x=np.ones((5, 2)), test_x=np.ones((2, 2)))
    assert problem(tmp_path / "a.npz").detail.endswith(
        "x_train, y_train, x_test, y_test; there are train_x 5, test_x 2."
    )
    np.savez(tmp_path / "b.npz", y=np.array([b"a", b"b"]))
    assert "the array y is of type |S1" in problem(tmp_path / "b.npz").detail
    assert ".astype(str)" in problem(tmp_path / "b.npz").detail


def test_a_text_that_looks_like_a_table_is_told(tmp_path: Path) -> None:
    for table in ("1.5 2.5\n3.5 4.5\n", "# a b\n1 2\n", "a,b\n1,2\n"):
        (tmp_path / "content").write_text(table)
        assert "format=csv" in inspect_file(tmp_path / "content", name="x.txt").notes[0]
    (tmp_path / "content").write_text("To be\nor not\n")
    assert inspect_file(tmp_path / "content", name="x.txt").notes == ()


def test_a_constant_that_no_double_averages_exactly_does_not_vary(tmp_path: Path) -> None:
    report = inspect_file(written(tmp_path, "same,y\n" + "".join(f"1.4,{i}\n" for i in range(60))))
    assert (report.columns[0].std, report.columns[0].constant, report.scale_ratio) == (0.0, True, 1.0)
    assert report.notes == ()
