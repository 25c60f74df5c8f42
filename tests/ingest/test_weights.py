"""Files of weights: their header is reported, and one that is not what the file holds is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.errors import Invalid
from service.ingest import inspect_file

PLAIN: dict[str, Any] = {
    "a.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "a.bias": {"dtype": "F16", "shape": [3], "data_offsets": [24, 30]},
    "count": {"dtype": "I64", "shape": [], "data_offsets": [30, 38]},
}


def written(folder: Path, header: Any, body: int = 38, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "model.safetensors"
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + bytes(body))
    return path


def changed(name: str, **fields: Any) -> dict[str, Any]:
    return PLAIN | {name: PLAIN[name] | fields}


def test_tensors_are_reported_with_type_and_shape(tmp_path: Path) -> None:
    report = inspect_file(written(tmp_path, {"__metadata__": {"format": "pt"}} | PLAIN), None)
    assert report.format == "safetensors"
    found = [(column.name, column.holds, column.shape) for column in report.columns]
    assert found == [("a.bias", "F16", (3,)), ("a.weight", "F32", (2, 3)), ("count", "I64", ())]
    assert "3 tensors of 10 numbers" in report.notes[0]


def test_tensors_are_in_the_order_of_their_names_and_numbers(tmp_path: Path) -> None:
    names = ["head.bias", "layers.norm", "layers.0.weight", "layers.2.weight", "layers.10.bias", "layers.10.weight"]
    places = {name: [at, at + 1] for at, name in enumerate(reversed(names))}
    header = {name: {"dtype": "U8", "shape": [1], "data_offsets": place} for name, place in places.items()}
    report = inspect_file(written(tmp_path, header, len(names)), None)
    assert [column.name for column in report.columns] == names


TWICE = json.dumps(PLAIN).replace('"a.bias"', '"a.weight"').encode()
HOSTILE: dict[str, tuple[Any, ...]] = {
    "truncated": (PLAIN, 37),
    "too long": (PLAIN, 39),
    "header beyond the file": (PLAIN, 38, 10**6),
    "huge header": (PLAIN, 38, 2**39),
    "no json": (b"{not json", 38),
    "deep": (b'{"a":' + b"[" * 100_000, 38),
    "named twice": (TWICE, 38),
    "overlapping": (changed("a.bias", data_offsets=[20, 26]), 38),
    "a gap": (changed("count", data_offsets=[31, 39]), 39),
    "another size": (changed("a.weight", shape=[2, 4]), 38),
    "negative": (changed("a.weight", shape=[-2, -3]), 38),
    "a fraction": (changed("a.weight", shape=[2.0, 3]), 38),
    "true": (changed("a.bias", shape=[True, 3]), 38),
    "overflow": (changed("a.weight", shape=[2**60, 2**60]), 38),
    "unknown type": (changed("a.weight", dtype="F8_E5M2"), 38),
    "no shape": (PLAIN | {"count": {"dtype": "I64"}}, 38),
    "no tensor": ({"__metadata__": {}}, 0),
    "an unprintable name": ({"a\u0000b": PLAIN["a.weight"]}, 24),
    "offsets of three": (changed("count", data_offsets=[30, 38, 38]), 38),
    "a text": (changed("count", data_offsets="30"), 38),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_header_that_is_not_what_the_file_holds_is_refused(case: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid):
        inspect_file(written(tmp_path, *HOSTILE[case]), None)


def test_a_file_that_only_says_to_be_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with pytest.raises(Invalid) as caught:
        inspect_file(tmp_path / "a.csv", "safetensors")
    assert "does not begin as safetensors" in caught.value.problems[0].detail
