"""Frames that wait: in order, once, in little memory; and what a full or a broken disk makes of it."""

import logging
import os
import queue
import resource
import threading
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from worker.protocol import Died, Failed, Frame, Points
from worker.supervisor.spool import FRAME_BYTES, FrameQueue


def frame(number: int, n: int = 1000) -> Frame:
    payload = np.full(n, number / 7, "<f8").tobytes()
    return Points(series=[{"name": "loss", "first": number, "every": 1, "n": n}], payload=payload)


def files(folder: Path) -> int:
    """Open files in `folder`, with a name or without."""
    paths = []
    for each in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the listing's own
            paths.append(str(each.readlink()))
    return sum(path.startswith(str(folder)) for path in paths)


def rest(frames: FrameQueue) -> list[Frame]:
    found = []
    while not frames.empty():
        found.append(frames.get(timeout=0))
    return found


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """As a disk that is full from there on."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_what_waits_takes_bounded_memory_and_comes_out_in_order_once(tmp_path: Path) -> None:
    frames, bound = FrameQueue(tmp_path, 2**20), 2**20
    frames.put(frame(0))
    frames.get()  # json's own tables
    tracemalloc.start()
    for number in range(3000):  # 24 MB
        frames.put(frame(number))
    assert frames.spooled_bytes > 20e6
    assert not any(tmp_path.iterdir())  # nothing to clean up after a worker that was killed
    for number in range(3000):
        assert frames.get() == frame(number)
        if number == 1500:  # more comes while it is read
            frames.put(Died())
    assert frames.get() == Died()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < bound + 300_000
    assert (frames.empty(), frames.used_bytes, frames.spooled_bytes, files(tmp_path)) == (True, 0, 0, 0)
    with pytest.raises(queue.Empty):
        frames.get(timeout=0.01)


@pytest.mark.parametrize("bound", [0, 20_000, 10**9])
def test_a_slow_reader_gets_every_frame_whatever_the_bound(tmp_path: Path, bound: int) -> None:
    frames, found = FrameQueue(tmp_path, bound), list[Frame]()

    def read() -> None:
        while not isinstance(got := frames.get(timeout=20), Died):
            found.append(got)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(2000):
        frames.put(frame(number, n=number % 300))
    frames.put(Died())
    reader.join()
    assert found == [frame(number, n=number % 300) for number in range(2000)]
    assert (frames.used_bytes, files(tmp_path)) == (0, 0)


@pytest.mark.parametrize("room", [0, 100_000])
def test_on_a_full_disk_they_wait_in_memory_and_that_is_said_once(
    tmp_path: Path, room: int, caplog: pytest.LogCaptureFixture
) -> None:
    frames = FrameQueue(tmp_path, 50_000)
    with largest_file(room), caplog.at_level(logging.WARNING):
        for number in range(100):
            frames.put(frame(number))
    assert frames.spooled_bytes <= room
    assert len(caplog.records) == 1
    for number in range(100, 120):  # there is room again, but what is in memory comes first
        frames.put(frame(number))
    assert rest(frames) == [frame(number) for number in range(120)]
    for number in range(100):
        frames.put(frame(number))
    assert frames.spooled_bytes > 500_000
    assert rest(frames) == [frame(number) for number in range(100)]
    assert (frames.used_bytes, files(tmp_path)) == (0, 0)


@pytest.mark.parametrize("harm", ["other bytes", "cut off"])
def test_a_file_that_is_not_what_was_written_ends_the_attempt_before_the_gap(tmp_path: Path, harm: str) -> None:
    frames = FrameQueue(tmp_path, 3 * (8000 + FRAME_BYTES))
    for number in range(10):
        frames.put(frame(number))
    assert frames._spool is not None
    number = frames._spool._file.fileno()
    if harm == "cut off":
        os.ftruncate(number, 4 * 8200)
    else:
        os.pwrite(number, b"\x01", 4 * 8200)
    before, (failed, *more) = [frames.get() for _ in range(7)], rest(frames)
    assert (before, more) == ([frame(number) for number in range(7)], [])
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.trainer_usable) == ("spool_damaged", False)
    frames.put(frame(11))  # later frames of the trainer are not wanted, those that are put back are
    frames.put(Died(lease="l", put_back=True))
    assert rest(frames) == [Died(lease="l", put_back=True)]
    assert files(tmp_path) == 0


def test_a_closed_queue_keeps_no_file(tmp_path: Path) -> None:
    frames = FrameQueue(tmp_path, 0)
    frames.put(frame(1))
    assert files(tmp_path) == 1
    frames.close()
    frames.put(frame(2))
    assert (frames.empty(), files(tmp_path)) == (True, 0)
