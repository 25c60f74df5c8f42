"""What is no frame is never taken for one."""

import io

import pytest

from worker.pipe import read_frame, write_frame


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 64,
        b"\0\0\0\2{}",
        b"\0\0\0\2[]",
        b"\0\0\0\x0cnot JSON 1234",
        b'\0\0\0\x19{"type":"end","bytes":-1}',
        b"hello\n",
    ],
)
def test_garbage_in_the_pipe_is_an_error_that_the_reader_knows(garbage: bytes) -> None:
    with pytest.raises(ValueError, match=r"frame|Expecting|utf|decode"):
        read_frame(io.BytesIO(garbage))


def test_a_frame_cut_short_is_the_end() -> None:
    stream = io.BytesIO()
    write_frame(stream, {"type": "end"}, b"12345678")
    whole = stream.getvalue()
    assert read_frame(io.BytesIO(whole)) == ({"type": "end", "bytes": 8}, b"12345678")
    assert all(read_frame(io.BytesIO(whole[:n])) is None for n in range(len(whole)))
