"""The codec of chunks: what is packed comes back bit for bit; corrupt bytes are refused with a sentence."""

import math
import struct
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.db.metrics.codec import Chunk, merge, pack, unpack, unpack_between

Series = tuple[list[int], list[float]]
modest = settings(deadline=None, max_examples=100)

numbers = st.one_of(
    st.floats(),
    st.floats(width=32),
    st.sampled_from([0.0, -0.0, 1.0, math.nan, math.inf, -math.inf, 5e-324, 1.7976931348623157e308]),
)


@st.composite
def some_series(draw: st.DrawFn) -> Series:
    values = draw(st.lists(numbers, min_size=1, max_size=40) | st.lists(st.just(0.5), min_size=1, max_size=40))
    first, every = draw(st.integers(0, 2**40)), draw(st.integers(1, 1000))
    even = [first + i * every for i in range(len(values))]
    gaps = draw(st.lists(st.integers(1, 2**30), min_size=len(values), max_size=len(values)))
    uneven = [first + sum(gaps[:i]) for i in range(len(values))]
    return draw(st.sampled_from([even, uneven])), values


def bits(values: list[float] | npt.NDArray[np.float64]) -> list[bytes]:
    """Each value's eight bytes, every NaN alike."""
    return [struct.pack("<d", math.nan if math.isnan(v) else v) for v in values]


def opened(chunk: Chunk) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    return unpack(chunk.first_step, chunk.last_step, chunk.every, chunk.n, chunk.values, chunk.steps)


def read_slowly(chunk: Chunk) -> Series:
    """The format as its description says, one value at a time."""
    code, body = chunk.values[0], chunk.values[1:]
    if code == 0:
        values = [struct.unpack("<d", body)[0]] * chunk.n
    else:
        kind = {1: "f", 2: "d"}[code]
        values = list(struct.unpack(f"<{chunk.n}{kind}", body))
    if chunk.steps is not None:
        return list(struct.unpack(f"<{chunk.n}q", chunk.steps)), values
    return [chunk.first_step + i * chunk.every for i in range(chunk.n)], values


@modest
@given(some_series())
def test_every_value_and_step_comes_back(series: Series) -> None:
    steps, values = series
    read_steps, read_values = opened(pack(steps, values))
    assert read_steps.tolist() == steps
    assert read_steps.dtype == np.int64
    assert bits(read_values) == bits(values)
    assert read_values.dtype == np.float64


@modest
@given(some_series())
def test_the_bytes_are_the_described_format(series: Series) -> None:
    steps, values = series
    read_steps, read_values = read_slowly(pack(steps, values))
    assert read_steps == steps
    assert bits(read_values) == bits(values)


@modest
@given(some_series())
def test_the_summary_is_that_of_the_finite_values(series: Series) -> None:
    steps, values = series
    chunk = pack(steps, values)
    finite = [(step, value) for step, value in zip(steps, values, strict=True) if math.isfinite(value)]
    assert (chunk.first_step, chunk.last_step, chunk.n) == (steps[0], steps[-1], len(steps))
    assert chunk.nonfinite == len(values) - len(finite)
    assert bits([chunk.last]) == bits([values[-1]])
    if not finite:
        assert (chunk.min, chunk.max, chunk.min_step, chunk.max_step, chunk.mean) == (None,) * 5
        return
    least, most = min(v for _, v in finite), max(v for _, v in finite)
    assert (chunk.min, chunk.max) == (least, most)
    assert chunk.min_step == next(step for step, value in finite if value == least)
    assert chunk.max_step == next(step for step, value in finite if value == most)
    exact = float(sum(Fraction(v) for _, v in finite) / len(finite))
    assert chunk.mean is not None
    assert least <= chunk.mean <= most
    assert chunk.mean == pytest.approx(exact, rel=1e-12, abs=1e-12 * max(abs(least), abs(most)))


@modest
@given(some_series(), st.data())
def test_merging_pieces_is_packing_the_whole(series: Series, data: st.DataObject) -> None:
    steps, values = series
    cuts = data.draw(st.lists(st.integers(1, len(steps)), max_size=4).map(sorted))
    edges = [0, *cuts, len(steps)]
    pieces = [(a, b) for a, b in pairwise(edges) if a < b]
    merged = merge([opened(pack(steps[a:b], values[a:b])) for a, b in pieces])
    assert repr(merged) == repr(pack(steps, values))  # repr, because a NaN differs from itself


def test_the_smallest_exact_form_is_chosen() -> None:
    steps = range(1, 5)
    assert pack(steps, [0.1] * 4).values == b"\x00" + struct.pack("<d", 0.1)
    assert pack(steps, [math.nan] * 4).values[0] == 0
    assert pack(steps, [0.5, 0.25, math.inf, math.nan]).values == b"\x01" + struct.pack(
        "<4f", 0.5, 0.25, math.inf, math.nan
    )
    assert pack(steps, [0.1, 0.5, 0.5, 0.1]).values[0] == 2
    assert pack(steps, [1e300, 0.5, 0.5, 0.5]).values[0] == 2  # too large for float32
    assert pack(steps, [1e-310, 0.5, 0.5, 0.5]).values[0] == 2  # too small for it


def test_zero_and_minus_zero_are_no_constant() -> None:
    _, values = opened(pack([1, 2, 3], [0.0, -0.0, 0.0]))
    assert np.signbit(values).tolist() == [False, True, False]


def test_even_steps_are_not_stored() -> None:
    assert (pack([10, 20, 30], [1, 2, 3]).every, pack([10, 20, 30], [1, 2, 3]).steps) == (10, None)
    assert (pack([7], [1.5]).every, pack([7], [1.5]).steps) == (1, None)
    uneven = pack([10, 20, 31], [1, 2, 3])
    assert (uneven.every, uneven.steps) == (0, struct.pack("<3q", 10, 20, 31))


def test_a_spacing_too_wide_for_its_column_is_listed() -> None:
    assert pack([0, 2**31 - 1], [1, 2]).every == 2**31 - 1
    assert pack([0, 2**31], [1, 2]).every == 0


def test_means_near_the_largest_float_do_not_overflow() -> None:
    largest = 1.7976931348623157e308
    assert pack([1, 2, 3], [largest, largest, largest]).mean == largest
    assert pack([1, 2, 3, 4], [1e308, 1e308, 1e308, -1e308]).mean == pytest.approx(5e307)


def test_the_mean_of_equal_values_is_that_value() -> None:
    assert [pack(range(n), [0.1] * n).mean for n in range(1, 60)] == [0.1] * 59


def test_what_is_read_belongs_to_the_reader() -> None:
    for values in ([1.0, 1.0], [1.0, 2.0], [0.1, 0.2]):
        steps, read = opened(pack([1, 5], values))
        steps += 1
        read += 1
        assert steps.tolist() == [2, 6]
        assert read.tolist() == [values[0] + 1, values[1] + 1]


@pytest.mark.parametrize(
    ("steps", "values", "sentence"),
    [
        ([], [], "at least one value"),
        ([1, 2], [1.0], "equal length"),
        ([[1]], [[1.0]], "one-dimensional"),
        ([2, 1], [1.0, 2.0], "strictly increasing"),
        ([1, 1], [1.0, 2.0], "strictly increasing"),
        ([-1, 1], [1.0, 2.0], ">= 0"),
        ([1.5, 2.5], [1.0, 2.0], "integers"),
    ],
)
def test_what_is_no_series_is_not_packed(steps: list[int], values: list[float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        pack(steps, values)


EVEN, UNEVEN, CONSTANT = pack([2, 4, 6], [1, 2, 3]), pack([2, 4, 7], [1, 2, 3]), pack([2, 4, 6], [1, 1, 1])


@pytest.mark.parametrize(
    ("chunk", "sentence"),
    [
        (replace(EVEN, values=b""), "not even a format byte"),
        (replace(EVEN, values=b"\x03" + EVEN.values[1:]), "format code 3"),
        (replace(EVEN, values=EVEN.values[:-1]), "12 bytes; format and n say 13"),
        (replace(EVEN, values=EVEN.values + b"\x00"), "14 bytes"),
        (replace(CONSTANT, values=CONSTANT.values[:-1]), "8 bytes; format and n say 9"),
        (replace(EVEN, n=0), "n = 0"),
        (replace(EVEN, n=4), "do not end at 6"),
        (replace(CONSTANT, n=10**15), "do not end at 6"),
        (replace(EVEN, first_step=-2, last_step=2), "do not end"),
        (replace(EVEN, every=-1), "every = -1"),
        (replace(EVEN, every=0), "every = 0"),
        (replace(UNEVEN, every=2), "every = 2"),
        (replace(UNEVEN, steps=UNEVEN.steps and UNEVEN.steps[:-1]), "23 bytes; n says 24"),
        (replace(UNEVEN, first_step=1), "not from 1 to 7"),
        (replace(UNEVEN, last_step=8), "not from 2 to 8"),
        (replace(UNEVEN, steps=struct.pack("<3q", 2, 9, 7)), "strictly increasing"),
        (replace(UNEVEN, first_step=-2, steps=struct.pack("<3q", -2, 4, 7)), ">= 0"),
    ],
)
def test_a_corrupt_chunk_is_refused_with_a_sentence(chunk: Chunk, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        opened(chunk)


def test_merging_nothing_or_overlapping_chunks_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to merge"):
        merge([])
    with pytest.raises(ValueError, match="strictly increasing"):
        merge([opened(EVEN), opened(UNEVEN)])


@given(st.integers(0, 50), st.integers(1, 7), st.integers(1, 60), st.integers(-5, 600), st.integers(-5, 600))
def test_a_window_of_a_chunk_is_what_lies_between(begin: int, every: int, n: int, first: int, last: int) -> None:
    steps = begin + every * np.arange(n)
    for at, what in ((steps, steps / 7), (steps, np.full(n, 0.1)), (np.cumsum(np.arange(1, n + 1)), steps / 2)):
        chunk = pack(at, what)
        fields = (chunk.first_step, chunk.last_step, chunk.every, chunk.n, chunk.values, chunk.steps)
        inside = (at >= first) & (at <= last)
        found = unpack_between(first, last, *fields)
        assert (found[0].tolist(), found[1].tolist()) == (at[inside].tolist(), what[inside].tolist())
