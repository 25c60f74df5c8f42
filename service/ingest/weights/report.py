"""Files of weights (safetensors): only the header is read, so no number of them and no code is.

The header is JSON after its length (8 bytes, little-endian): name -> dtype, shape, data_offsets. The tensors follow one
after the other without gaps to the end of the file.
"""

import json
import math
from pathlib import Path
from typing import Any

from service.ingest.validation import check_names, invalid_file
from service.spec.datasets.report import Column, Report

LENGTH = 8  # bytes that hold the header's length
MAX_HEADER = 2**23  # bytes: ten thousand tensors take a quarter of it
MAX_DIMENSIONS = 8
BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


def is_weights(head: bytes) -> bool:
    """Whether a file begins as safetensors does: a length, whose high bytes are 0, then JSON."""
    return head[LENGTH : LENGTH + 1] == b"{" and head[5:LENGTH] == b"\0\0\0"


def report_weights(path: Path) -> Report:
    """Return the tensors of a file as columns; raise `Invalid` where the header is not what the file holds."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH), "little")
        if length > min(MAX_HEADER, size - LENGTH):
            raise _damaged(f"its header says to be {length} bytes long")
        header = _read_json(file.read(length))
    header.pop("__metadata__", None)
    check_names(list(header))
    columns = [_column(name, header[name]) for name in sorted(header, key=_by_number)]
    _check_places(header, size - LENGTH - length)
    numbers = sum(math.prod(column.shape) for column in columns)
    notes = (f"{len(columns)} tensors of {numbers} numbers in all, to start a training from (/start of a spec).",)
    return Report(format="safetensors", rows=0, columns=tuple(columns), notes=notes)


def _read_json(text: bytes) -> dict[str, Any]:
    """Return the header; a name that is given twice is refused, for readers differ in which one counts."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise ValueError("a name is given twice")
        return found

    try:
        header = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise _damaged("its header is no JSON, or names something twice") from error
    if not isinstance(header, dict):
        raise _damaged("its header is no object")
    return header


def _by_number(name: str) -> list[tuple[int, str]]:
    """Return the key that puts layers.10 behind layers.2; a file is sorted by type, so counters would come first."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in name.split(".")]


def _column(name: str, tensor: Any) -> Column:
    """Return one tensor as the report shows it."""
    if not isinstance(tensor, dict) or tensor.keys() != {"dtype", "shape", "data_offsets"}:
        raise _damaged(f"{name} has not dtype, shape and data_offsets")
    if tensor["dtype"] not in BYTES:
        detail = f"{name} is of a type other than {', '.join(BYTES)}: save it as one of these."
        raise invalid_file("wrong_type", detail)
    if not _are_counts(tensor["shape"], MAX_DIMENSIONS):
        raise _damaged(f"the shape of {name} is no list of at most {MAX_DIMENSIONS} sizes")
    return Column(name=name, type="other", holds=tensor["dtype"], shape=tuple(tensor["shape"]), missing=0)


def _are_counts(value: Any, most: int) -> bool:
    whole = isinstance(value, list) and len(value) <= most
    return whole and all(type(each) is int and 0 <= each < 2**40 for each in value)


def _check_places(header: dict[str, Any], size: int) -> None:
    """Raise `Invalid` unless the tensors lie one after the other and fill the rest of the file."""
    for name, tensor in header.items():
        if not _are_counts(tensor["data_offsets"], 2) or len(tensor["data_offsets"]) != 2:
            raise _damaged(f"the place of {name} is not two numbers")
    at = 0
    for name, tensor in sorted(header.items(), key=lambda item: tuple(item[1]["data_offsets"])):
        first, last = tensor["data_offsets"]
        if first != at or last - first != math.prod(tensor["shape"]) * BYTES[tensor["dtype"]]:
            raise _damaged(f"the place of {name} is not as large as its shape, or not behind the tensor before it")
        at = last
    if at != size:
        raise _damaged(f"its tensors take {at} bytes, and {size} follow the header")


def _damaged(what: str) -> Exception:
    return invalid_file("damaged", f"the safetensors file is damaged: {what}.")
