"""The part of each row as a short text: read back as it was, and short for a million rows."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.ingest.splits.part_codes import MAX_ROWS, decode_parts, encode_parts
from service.spec.datasets.splits import PARTS


@given(st.lists(st.integers(0, 3), min_size=1, max_size=70))
def test_parts_are_read_back_and_rows_in_none_stay_out(codes: list[int]) -> None:
    parts = [np.flatnonzero(np.array(codes) == code) for code in range(3)]
    found = decode_parts(encode_parts(len(codes), parts))
    assert found == {name: rows.tolist() for name, rows in zip(PARTS, parts, strict=True)}


def test_a_million_rows_fit_in_a_reading() -> None:
    rows = np.random.RandomState(0).permutation(MAX_ROWS)
    ends = MAX_ROWS // 3, MAX_ROWS * 2 // 3
    text = encode_parts(MAX_ROWS, np.split(rows, ends))
    assert len(text) < 2**18 - 1_000
    assert decode_parts(text)["test"] == sorted(rows[ends[1] :].tolist())
