"""What a trainer writes is bounded and harmless, whatever it is; what the machine says of its memory is understood."""

import logging
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from worker.memory import available_bytes, oom_kills
from worker.supervisor.output import LOG_BYTES, TAIL_BYTES, TrainerOutput, escape
from worker.trainer.liveness import stack_of, start


def written(*pieces: bytes) -> TrainerOutput:
    """Everything read from a pipe that these were written to."""
    inward, outward = os.pipe()
    with os.fdopen(inward, "rb") as stream:
        output = TrainerOutput(stream, logging.getLogger("told"))
        for piece in pieces:
            os.write(outward, piece)
        os.close(outward)
        assert output.ended.wait(10)
    return output


def test_lines_reach_the_log_and_the_end_is_kept(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    output = written(b"one\ntw", b"o\nthree")
    assert output.tail() == "one\ntwo\nthree"
    assert caplog.messages == ["trainer: one", "trainer: two", "trainer: three"]


def test_a_flood_is_read_to_its_end_and_cut_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    output = written(*[b"x" * 2**20] * 32, b"the end")
    assert (output.size, len(output.tail())) == (32 * 2**20 + 7, TAIL_BYTES)
    assert output.tail().endswith("the end")
    assert sum(len(message) for message in caplog.messages) < 2 * LOG_BYTES
    assert "no more of it is logged" in caplog.text


def test_what_is_no_text_is_escaped() -> None:
    assert escape(b"\x1b[31mred\x00\xff\xc3\xa9\r\n") == "\\x1b[31mred\\x00\\xffé\\r\n"


def test_memory_is_what_the_machine_and_the_container_leave(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable: 50 kB\n")
    (tmp_path / "vmstat").write_text("nr_free_pages 1\noom_kill 3\n")
    assert available_bytes(tmp_path, tmp_path) == 50 * 1024
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("30000\n")
    assert available_bytes(tmp_path, tmp_path) == 50 * 1024
    (tmp_path / "memory.max").write_text("40000\n")
    assert available_bytes(tmp_path, tmp_path) == 10_000
    assert oom_kills(tmp_path, tmp_path) == 3
    assert available_bytes(tmp_path / "none", tmp_path / "none") is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a thread's processor time")
def test_a_thread_that_waits_stands_still_and_one_that_computes_moves() -> None:
    over, moves = threading.Event(), {"waits": 0, "computes": 0}

    def compute() -> None:
        while not over.is_set():
            sum(range(1000))

    def count(name: str) -> None:
        moves[name] += 1

    threads = {"waits": threading.Thread(target=over.wait), "computes": threading.Thread(target=compute)}
    for name, thread in threads.items():
        thread.start()
        assert thread.ident is not None
        time.sleep(0.1)
        assert stack_of(thread.ident)
        start(thread.ident, lambda name=name: count(name), computes=True, period_s=0.1)  # type: ignore[misc]
    end = time.monotonic() + 60
    while moves["computes"] <= 10 and time.monotonic() < end:  # the other was looked at as often
        time.sleep(0.05)
    over.set()
    assert moves["waits"] == 0
    assert moves["computes"] > 10
