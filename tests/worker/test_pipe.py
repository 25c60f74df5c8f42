"""Frames survive the pipe whole, and what is no frame is never taken for one."""

import io

import pytest

from worker.pipe import encode, read_frame
from worker.protocol import FRAMES, Ended, Failed, PackRequest, Points, TrainRequest

PLAIN = {"seed": 0, "threads": 1, "flush_s": 0.2, "checkpoint_s": 60.0, "folder": "/f"}
SENT = [
    TrainRequest(spec={"steps": 3}, resume={"folder": "/f/step-1", "sha256": "0"}, **PLAIN),  # type: ignore[arg-type]
    Points(series=[{"name": "loss", "first": 1, "every": 1, "n": 1}], payload=b"12345678", lease="abc"),
    Failed(kind="diverged", detail="the loss is nan", step=3, evidence={"lr": 0.1}, trainer_usable=True),
    Ended(outcome="paused", step=3),
    PackRequest.of([TrainRequest(spec={"steps": n}, lease=f"lease {n}", **PLAIN) for n in (1, 2)]),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("frame", SENT, ids=lambda frame: frame.tag)
def test_a_frame_arrives_as_it_was_sent_and_one_cut_short_is_the_end(frame: Ended) -> None:
    whole = encode(frame)
    assert read_frame(io.BytesIO(whole)) == frame
    assert all(read_frame(io.BytesIO(whole[:n])) is None for n in range(len(whole)))


def test_a_pack_arrives_with_the_request_of_each_of_its_runs() -> None:
    requests = [TrainRequest(spec={"steps": n}, lease=f"lease {n}", **PLAIN) for n in (1, 2)]  # type: ignore[arg-type]
    arrived = read_frame(io.BytesIO(encode(PackRequest.of(requests))))
    assert isinstance(arrived, PackRequest)
    assert arrived.members == requests


def test_every_kind_of_frame_has_a_tag_of_its_own() -> None:
    assert all(kind.tag == tag and "tag" in vars(kind) for tag, kind in FRAMES.items())


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff" * 64,
        b"\0\0\0\2{}",
        b"\0\0\0\2[]",
        b"\0\0\0\x0cnot JSON 1234",
        b'\0\0\0\x19{"type":"end","bytes":-1}',
        b'\0\0\0\x19{"type":"bye","bytes":01}',
        b"hello\n",
    ],
)
def test_garbage_in_the_pipe_is_an_error_that_the_reader_knows(garbage: bytes) -> None:
    with pytest.raises(ValueError, match=r"frame|Expecting|utf|decode"):
        read_frame(io.BytesIO(garbage))
