"""Tables as people have them: from spreadsheets, pandas, numpy and UCI. What is told of them is what is trained on."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.errors import Invalid
from service.ingest import inspect_file, without_incomplete_rows
from service.ingest.rows import Selection
from service.spec.datasets.columns import class_names
from service.spec.datasets.report import Column, Report
from service.spec.datasets.uploaded import Upload

ID = "dat_" + "0" * 26


def told(tmp_path: Path, content: str | bytes, **more: Any) -> Report:
    path = tmp_path / "content"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return inspect_file(path, **more)


def trained_on(path: Path, report: Report, **fields: Any) -> tuple[Any, Any, Any]:
    """What the server finds, and the rows that a worker then reads."""
    wanted = Upload.model_validate({"kind": "upload", "upload": ID, "predict": "y", "task": "regression"} | fields)
    found, problems = wanted.resolve(without_incomplete_rows([path], [report], wanted)[0], "0" * 64)
    assert problems == []
    assert found is not None
    chosen = Selection.of(found, wanted.predicted, wanted.features, wanted.task)
    blocks = list(chosen.blocks(path, wanted.missing == "drop"))
    x, y = (np.concatenate(each) for each in zip(*blocks, strict=True))
    assert x.shape == (found.rows, *found.shape)
    return found, x, y


BIG = 2**53
LABELS: dict[str, Any] = {
    "csv": lambda y: ("a,y\n" + "".join(f"{i},{v}\n" for i, v in enumerate(y))).encode(),
    "jsonl": lambda y: "".join(f'{{"a": {i}, "y": {v}}}\n' for i, v in enumerate(y)).encode(),
    "json": lambda y: ("[" + ",\n".join(f'{{"a": {i}, "y": {v}}}' for i, v in enumerate(y)) + "]").encode(),
    "parquet": lambda y: parquet_of(a=range(len(y)), y=pa.array(y, pa.int64())),
    "decimal": lambda y: parquet_of(a=range(len(y)), y=pa.array(y).cast(pa.decimal128(19, 0))),
    "unsigned": lambda y: npz_of(a=np.arange(len(y)), y=np.array(y, np.uint64)),
    "npz": lambda y: npz_of(a=np.arange(len(y)), y=np.array(y)),
}


def parquet_of(**columns: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def npz_of(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize("write", LABELS.values(), ids=LABELS)
def test_whole_numbers_beyond_doubles_are_classes_of_their_own(write: Any, tmp_path: Path) -> None:
    y = [BIG + i % 3 for i in range(60)]
    report = told(tmp_path, write(y))
    assert report.columns[1].classes == {str(BIG + i): 20 for i in range(3)}
    found, _, places = trained_on(tmp_path / "content", report, task="classification")
    assert [found.classes[place] for place in places] == list(map(str, y))


def test_classes_that_look_alike_are_told(tmp_path: Path) -> None:
    composed = told(tmp_path, "a,y\n" + "1,caf\u00e9\n2,cafe\u0301\n" * 9)
    assert [note for note in composed.notes if "look alike" in note] == list(composed.notes)
    assert len(composed.notes) == 1
    assert told(tmp_path, "a,y\n" + "1,caf\u00e9\n2,cafe\n" * 9).notes == ()


def test_codes_with_leading_zeros_are_classes_as_written_and_numbers_by_value(tmp_path: Path) -> None:
    report = told(tmp_path, "a,y\n" + "".join(f"{i},{('007', '7', '12')[i % 3]}\n" for i in range(30)))
    column = report.columns[1]
    assert (column.type, column.as_written) == ("integer", True)
    assert column.classes == {"007": 10, "7": 10, "12": 10}
    assert any("007 and 7 are two" in note for note in report.notes)
    found, _, places = trained_on(tmp_path / "content", report, task="classification")
    assert [found.classes[place] for place in places] == ["007", "7", "12"] * 10
    assert trained_on(tmp_path / "content", report)[2].tolist() == [7.0, 7.0, 12.0] * 10


@pytest.mark.parametrize("kind", ["parquet", "npz", "jsonl"])
def test_texts_that_the_file_declares_are_classes_as_written(kind: str, tmp_path: Path) -> None:
    y = ["1", "1.0", "2"] * 10
    write = {"jsonl": lambda y: LABELS["jsonl"]([f'"{v}"' for v in y]), "npz": LABELS["npz"]}
    content = parquet_of(a=range(30), y=y) if kind == "parquet" else write[kind](y)
    report = told(tmp_path, content)
    assert report.columns[1].classes == {"1": 10, "1.0": 10, "2": 10}
    found, _, places = trained_on(tmp_path / "content", report, task="classification")
    assert [found.classes[place] for place in places] == y


def test_a_label_of_an_old_report_is_still_found(tmp_path: Path) -> None:
    from service.ingest.class_labels import class_indices

    assert class_indices(pa.array([BIG, BIG + 1]), (f"{float(BIG)!r}",)).tolist() == [0, 0]
    assert class_indices(pa.array(["007", "7.0"]), ("6", "7")).tolist() == [1, 1]


def test_true_and_false_as_pandas_writes_them_are_classes(tmp_path: Path) -> None:
    report = told(tmp_path, "a,y\n" + "".join(f"{i},{i % 2 == 0}\n" for i in range(20)))
    assert (report.columns[1].type, report.columns[1].classes) == ("boolean", {"true": 10, "false": 10})
    found, _, places = trained_on(tmp_path / "content", report, task="classification")
    assert (found.classes, places.tolist()) == (("false", "true"), [1, 0] * 10)


@pytest.mark.parametrize("named", [None, "key"])
def test_the_index_of_a_pandas_frame_is_no_feature_unless_it_is_asked_for(named: str | None, tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.arange(20.0), "y": np.arange(20) % 2})
    frame = frame.sort_values("y")
    frame.index.name = named
    frame.to_parquet(tmp_path / "content")
    report = inspect_file(tmp_path / "content")
    name = named or "__index_level_0__"
    assert {column.name: column.aside is None for column in report.columns} == {"a": True, "y": True, name: False}
    assert any(name in note for note in report.notes)
    found, x, _ = trained_on(tmp_path / "content", report)
    assert (found.aside, x.shape) == ((name,), (20, 1))
    assert trained_on(tmp_path / "content", report, features=("a", name))[1].shape == (20, 2)


def test_what_pandas_writes_as_csv_is_read_and_its_index_is_no_feature(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.arange(20) / 2, "y": np.arange(20) % 2})
    report = told(tmp_path, frame.to_csv())
    assert report.names == ["index", "a", "y"]
    assert trained_on(tmp_path / "content", report)[1].tolist() == [[i / 2] for i in range(20)]
    numbered = told(tmp_path, pd.DataFrame(np.eye(12)).to_csv())
    assert numbered.names == ["index", *map(str, range(12))]
    assert (numbered.rows, told(tmp_path, "a,b,\n1,2,\n").names) == (12, ["a", "b", "column_3"])


BLANKS = ["", " ", '""', '" "']
WORDS = ["NA", "-NAN", "NaN", "N/A", "n/a", "None", "<NA>", "#N/A", "?", "null", '"NA"', '"?"', " ?"]


@pytest.mark.parametrize("word", BLANKS + WORDS)
def test_a_word_for_no_value_is_missing_in_a_column_of_numbers(word: str, tmp_path: Path) -> None:
    report = told(tmp_path, "a,b,y\n" + "".join(f"{i},{word if i in (3, 7) else i},{i % 2}\n" for i in range(20)))
    column = report.columns[1]
    assert (column.type, column.missing, column.missing_rows) == ("integer", 2, (4, 8))
    assert column.classes == {str(i): 1 for i in range(20) if i not in (3, 7)}
    _, x, y = trained_on(tmp_path / "content", report, missing="drop")
    assert x[:, 0].tolist() == [i for i in range(20) if i not in (3, 7)]
    assert (y == x[:, 0] % 2).all()


def test_a_column_of_text_has_quoted_words_as_texts_and_blanks_as_gaps(tmp_path: Path) -> None:
    cells = ["a", '"NA"', "NA", '""', "?", "b"]
    column = told(tmp_path, "x,y\n" + "".join(f"{i},{cell}\n" for i, cell in enumerate(cells))).columns[1]
    assert (column.type, column.missing, column.missing_rows) == ("text", 3, (3, 4, 5))
    assert column.classes == {"a": 1, "NA": 1, "b": 1}


def test_rows_without_a_value_are_refused_with_the_way_out_or_left_out_and_told(tmp_path: Path) -> None:
    rows = "".join(f"{'' if i % 10 == 3 else i},{i},{'' if i == 5 else 'ab'[i % 2]}\n" for i in range(40))
    report = told(tmp_path, "a,b,y\n" + rows)
    wanted = Upload.model_validate({"kind": "upload", "upload": ID, "predict": "y", "task": "classification"})
    problems = wanted.resolve(report, "0" * 64)[1]
    assert [(p.pointer, p.code) for p in problems] == [("/features", "missing_values"), ("/predict", "missing_values")]
    assert "4 rows without a value (first: 4, 14, 24, 34): set /missing to drop" in problems[0].detail
    found, x, places = trained_on(tmp_path / "content", report, task="classification", missing="drop")
    kept = [i for i in range(40) if i % 10 != 3 and i != 5]
    assert (found.rows, x[:, 1].tolist()) == (35, kept)
    assert [found.classes[place] for place in places] == ["ab"[i % 2] for i in kept]
    found, _, y = trained_on(tmp_path / "content", report, predict="b", features=("a",), missing="drop")
    assert (found.rows, len(y)) == (36, 36)  # what is not trained on may be missing


def test_a_class_that_loses_its_rows_is_refused(tmp_path: Path) -> None:
    report = told(tmp_path, "a,y\n" + "".join(f"{i},x\n,z\n" for i in range(20)))
    wanted = Upload.model_validate(
        {"kind": "upload", "upload": ID, "predict": "y", "task": "classification", "missing": "drop"}
    )
    (problem,) = wanted.resolve(without_incomplete_rows([tmp_path / "content"], [report], wanted)[0], "0" * 64)[1]
    assert (problem.code, "z" in problem.detail) == ("class_too_small", True)


def test_probabilities_that_are_none_are_told_where_rows_are_left_out(tmp_path: Path) -> None:
    report = told(
        tmp_path, "a,p,q\n" + "".join(f"{'' if i == 3 else i},0.5,{0.5 if i < 9 else 0.1}\n" for i in range(20))
    )
    fields = {"predict": ("p", "q"), "task": "distribution", "missing": "drop"}
    wanted = Upload.model_validate({"kind": "upload", "upload": ID} | fields)
    with pytest.raises(Invalid) as caught:
        without_incomplete_rows([tmp_path / "content"], [report], wanted)[0]
    assert "sum to 0.6" in caught.value.problems[0].detail


def test_decimal_commas_are_read_where_they_cannot_divide_thousands(tmp_path: Path) -> None:
    report = told(tmp_path, "a;y\n" + "".join(f"{i},5;{i}\n" for i in range(20)))
    assert (report.columns[0].type, report.columns[0].min) == ("number", 0.5)
    assert any("1,5 is read as 1.5" in note for note in report.notes)
    assert trained_on(tmp_path / "content", report)[1][:, 0].tolist() == [i + 0.5 for i in range(20)]
    assert told(tmp_path, "a;b\n1,234;2\n").columns[0].max == 1.234
    unclear = told(tmp_path, 'a,b\n"1,234",2\n"12,500",3\n')
    assert unclear.columns[0].type == "text"
    assert any("separate thousands" in note for note in unclear.notes)
    assert told(tmp_path, "a;b\n1,5;2\n2.5;3\n").columns[0].type == "text"  # both marks in one column
    classes = told(tmp_path, "a;y\n" + "".join(f"{i};{i % 2},5\n" for i in range(20)))
    found, _, places = trained_on(tmp_path / "content", classes, task="classification")
    assert (found.classes, places.tolist()) == (("0.5", "1.5"), [0, 1] * 10)


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1.234,56", "2.000", "7", "-12,5"], [1234.56, 2000, 7, -12.5]),
        (["1,5", "2.000"], [1.5, 2000]),
        (["1.234.567", "2.000"], [1234567, 2000]),
        (['"1,234.56"', '"2,000"', "7.5"], [1234.56, 2000, 7.5]),
        (["1\u202f234,56", "2\u00a0000", "0,5"], [1234.56, 2000, 0.5]),
        (["1'234.56", "2\u2019000", "0.5"], [1234.56, 2000, 0.5]),
        (["1.234,56", '"?"', "2.000"], [1234.56, np.nan, 2000]),
        (["0.5", '"?"', "2.000"], [0.5, np.nan, 2]),
    ],
)
def test_divided_thousands_are_numbers_where_a_column_fits_one_way_of_writing(
    cells: list[str], values: list[float], tmp_path: Path
) -> None:
    report = told(tmp_path, "a;y\n" + "".join(f"{cell};{i}\n" for i, cell in enumerate(cells * 10)))
    assert report.columns[0].type in ("number", "integer")
    gaps = np.isnan(values * 10)
    _, x, _ = trained_on(tmp_path / "content", report, missing="drop")
    assert x[:, 0].tolist() == np.array(values * 10)[~gaps].tolist()
    assert any("thousands" in note for note in report.notes) == (cells[0] != "0.5")


@pytest.mark.parametrize("cells", [["1,500", "2.500"], ["1.234,56", "1,234.56"], ["1,2,3"], ["1.23,4"], ["-", "1,5"]])
def test_cells_that_fit_both_ways_of_writing_or_none_are_text(cells: list[str], tmp_path: Path) -> None:
    assert told(tmp_path, "a;y\n" + "".join(f"{cell};1\n" for cell in cells * 10)).columns[0].type == "text"


def test_a_point_that_may_divide_thousands_beside_decimal_commas_makes_text_with_a_note(tmp_path: Path) -> None:
    report = told(tmp_path, "a;b;y\n" + "".join(f"{i + 1}.250;{i}.25;{i},5\n" for i in range(20)))
    assert [column.type for column in report.columns] == ["text", "number", "number"]
    assert any("column a: text, because" in note for note in report.notes)
    assert told(tmp_path, "a;y\n" + "".join(f"{i + 1}.250;{i}\n" for i in range(20))).columns[0].max == 20.25


def test_batches_that_write_decimals_otherwise_are_no_numbers_together(tmp_path: Path) -> None:
    from service.ingest.column_statistics import ColumnStatistics

    for first, second in ((["1.000"], ["1,5"]), (["1,5"], ["1.000"]), (["1,234.5"], ["1,5"]), (["1,234,567"], ["2,5"])):
        statistics = ColumnStatistics("a", comma_groups=False)
        statistics.add(pa.array(first))
        statistics.add(pa.array(second))
        assert statistics.as_column().type == "text"


def test_divided_thousands_are_classes_as_written_in_their_order(tmp_path: Path) -> None:
    report = told(tmp_path, "a;y\n" + "".join(f"{i};{('2.000', '1.000,5', '7')[i % 3]}\n" for i in range(30)))
    found, _, places = trained_on(tmp_path / "content", report, task="classification")
    assert (found.classes, places[:3].tolist()) == (("7", "1.000,5", "2.000"), [2, 1, 0])


def test_the_first_row_that_is_no_number_is_told(tmp_path: Path) -> None:
    report = told(tmp_path, "a,y\n" + "".join(f"{'12..5' if i == 21 else i},{i}\n" for i in range(30)))
    assert report.columns[0].text_row == 22
    wanted = Upload.model_validate({"kind": "upload", "upload": ID, "predict": "y", "task": "regression"})
    assert "row 22" in wanted.resolve(report, "0" * 64)[1][0].detail


def test_a_column_without_any_value_is_told_as_such(tmp_path: Path) -> None:
    report = told(tmp_path, "a;y;;\n" + "".join(f"{i};{i};;\n" for i in range(20)))
    assert [note for note in report.notes if "drop" in note] == []
    assert any("columns column_3, column_4: no value in any row" in note for note in report.notes)
    fields = {"predict": "y", "task": "regression", "features": ("a", "column_3"), "missing": "drop"}
    wanted = Upload.model_validate({"kind": "upload", "upload": ID} | fields)
    (problem,) = wanted.resolve(without_incomplete_rows([tmp_path / "content"], [report], wanted)[0], "0" * 64)[1]
    assert "column_3 has no value in any row" in problem.detail


def test_classes_that_differ_only_in_blanks_are_told(tmp_path: Path) -> None:
    report = told(tmp_path, "a,y\n" + "".join(f"{i},{('cat', 'cat ')[i % 2]}\n" for i in range(20)))
    assert report.columns[1].classes == {"cat": 10, "cat ": 10}
    assert any("column y: values that differ only in blanks" in note for note in report.notes)


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"1.23{i % 10},56;2.34{i % 10},78;1\n" for i in range(20)),
        "".join(f"{i / 10:.1f},3.{i % 10},Iris-{'ab'[i % 2]}\n" for i in range(20)),
        "".join(f"{i / 10:.1f},3.{i % 10},{i}\n" for i in range(20)),
        "".join(f"{i / 10:.1f} 3.{i % 10}   {i}\n" for i in range(20)),
        "".join(f"{i},5;3,{i % 10};{i}\n" for i in range(20)),
    ],
)
def test_a_file_without_a_header_loses_no_row_and_says_how_it_is_read(text: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        told(tmp_path, text)
    assert caught.value.problems[0].code == "no_header"
    assert "header=false" in caught.value.problems[0].detail
    report = told(tmp_path, text, header=False)
    assert (report.rows, report.names, report.reading.header) == (20, ["column_1", "column_2", "column_3"], False)
    _, x, _ = trained_on(tmp_path / "content", report, predict="column_1", features=("column_2",))
    assert len(x) == 20


def test_a_header_of_numbers_is_one_where_it_is_said_or_a_word_stands_above_a_number(tmp_path: Path) -> None:
    assert told(tmp_path, "2019,2020\n1,2\n", header=True).names == ["2019", "2020"]
    assert told(tmp_path, "size,2020\n1,2\n").names == ["size", "2020"]


def test_what_numpy_savetxt_writes_is_read(tmp_path: Path) -> None:
    values = np.random.RandomState(0).standard_normal((20, 3))
    for options in ({"header": "a b y"}, {"header": "a b y", "comments": ""}, {"fmt": "%24.16e", "header": " a b  y"}):
        np.savetxt(tmp_path / "content", values, **options)
        report = inspect_file(tmp_path / "content")
        assert (report.rows, report.names) == (20, ["a", "b", "y"])
        _, x, y = trained_on(tmp_path / "content", report)
        assert np.allclose(np.column_stack([x, y]), values, rtol=1e-15)


def test_line_ends_of_any_kind_and_excels_own_first_line_are_no_part_of_the_table(tmp_path: Path) -> None:
    for text in ("a,b\r1,2\r3,4\r", "a,b\r\n1,2\r\n3,4", "\ufeffsep=;\r\na;b\r\n1;2\r\n3;4\r\n"):
        report = told(tmp_path, text)
        assert (report.names, report.rows) == (["a", "b"], 2)


def test_a_header_is_asked_for_of_csv_alone(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        told(tmp_path, npz_of(x=np.ones(3)), header=False)
    assert "leave header out" in caught.value.problems[0].detail


def test_delimiters_inside_quotes_divide_nothing(tmp_path: Path) -> None:
    report = told(tmp_path, 'id;"name, first, last, mid";y\n1;"a, b";2\n')
    assert (report.names, report.columns[1].classes) == (["id", "name, first, last, mid", "y"], {"a, b": 1})


def test_dates_and_lists_that_nobody_trains_on_are_told_and_no_obstacle(tmp_path: Path) -> None:
    when = pa.array(range(20), pa.timestamp("us"))
    report = told(tmp_path, parquet_of(a=range(20), when=when, some=[[i] for i in range(20)], y=range(20)))
    assert [column.type for column in report.columns] == ["integer", "other", "other", "integer"]
    assert any("column when: timestamp[us]" in note for note in report.notes)
    assert trained_on(tmp_path / "content", report, features=("a",))[1].shape == (20, 1)
    wanted = Upload.model_validate({"kind": "upload", "upload": ID, "predict": "y", "task": "regression"})
    assert {p.code for p in wanted.resolve(report, "0" * 64)[1]} == {"not_a_number"}
    nested = told(tmp_path, "".join(f'{{"a": {i}, "tags": [1], "y": {i}}}\n' for i in range(20)))
    assert [column.type for column in nested.columns] == ["integer", "other", "integer"]
    dated = told(tmp_path, npz_of(a=np.arange(20), when=np.arange(20).astype("datetime64[s]"), y=np.arange(20)))
    assert [column.type for column in dated.columns] == ["integer", "other", "integer"]


def test_an_array_of_objects_is_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.ingest.jsonl.PIECE_BYTES", 7)
    text = "\ufeff [" + " , ".join(f'\n{{"a": {i}, "w": "ü,]{i % 2}", "y": null}}' for i in range(30)) + "\n]\n"
    report = told(tmp_path, text)
    assert (report.format, report.rows, report.columns[2].missing) == ("json", 30, 30)
    assert report.columns[1].classes == {"ü,]0": 15, "ü,]1": 15}


def test_arrays_in_fortrans_order_and_one_column_arrays_are_read(tmp_path: Path) -> None:
    x = np.random.RandomState(0).standard_normal((20, 3, 2))
    report = told(tmp_path, npz_of(x=np.asfortranarray(x), y=np.arange(20)[:, None]))
    assert [column.shape for column in report.columns] == [(3, 2), ()]
    assert (trained_on(tmp_path / "content", report)[1] == x).all()


def test_rows_that_keras_keeps_to_test_on_are_the_test_part(tmp_path: Path) -> None:
    x, y = np.arange(60.0).reshape(30, 2), np.arange(30) % 2
    report = told(tmp_path, npz_of(x_train=x[:20], y_train=y[:20], x_test=x[20:], y_test=y[20:]))
    assert (report.names, report.rows, report.test) == (["x", "y"], 30, 10)
    found, read, _ = trained_on(tmp_path / "content", report, task="classification")
    assert (read == x).all()
    dataset = Upload.model_validate(
        {"kind": "upload", "upload": ID, "predict": "y", "task": "classification", "resolved": found}
    )
    assert dataset.counts == (16, 4, 10)
    assert [p.pointer for p in dataset.model_copy(update={"test": 0.1}).problems()] == ["/test"]
    x[[3, 25]] = np.nan
    report = told(tmp_path, npz_of(x_train=x[:20], y_train=y[:20], x_test=x[20:], y_test=y[20:]))
    found, _, _ = trained_on(tmp_path / "content", report, task="classification", missing="drop")
    assert (found.rows, found.test) == (28, 9)


@pytest.mark.parametrize(
    ("member", "says"),
    [
        ("xl/workbook.xml", "an Excel workbook"),
        ("content.xml", "a spreadsheet (OpenDocument)"),
        ("table.csv", "a zip archive: unpack it"),
    ],
)
def test_spreadsheets_and_archives_are_refused_by_name_with_the_way_out(member: str, says: str, tmp_path: Path) -> None:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr(member, "a,b\n1,2\n")
    with pytest.raises(Invalid) as caught:
        told(tmp_path, memory.getvalue())
    assert says in caught.value.problems[0].detail


def test_a_file_that_was_uploaded_before_there_were_more_words_is_read_as_then(tmp_path: Path) -> None:
    from service.ingest.report import read_batches
    from service.spec.datasets.report import Reading

    (tmp_path / "content").write_text("a, y\n1,None\n2,?\n3,NA\n")
    (batch,) = read_batches(tmp_path / "content", "csv", None, Reading())
    assert batch[" y"].to_pylist() == ["None", "?", None]


def test_codes_beside_decimal_commas_and_words_beside_numbers_are_in_an_order(tmp_path: Path) -> None:
    column = Column(name="y", type="number", missing=0, classes={"1,5": 3, "007": 3, "true": 3, "0": 3})
    assert class_names([column]) == ("0", "true", "1,5", "007")
