"""A trainer as its supervisor sees it: usable only while it lives and can be heard."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from service.settings import Settings
from worker.protocol import Died
from worker.supervisor.trainer_pool import TrainerPool
from worker.supervisor.trainer_process import TrainerProcess


def started(program: str) -> TrainerProcess:
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True, **pipes)
    return TrainerProcess(process, Settings(database_url="postgresql+psycopg://nobody@nowhere/nothing"))


def test_a_trainer_that_cannot_be_heard_is_given_no_run() -> None:
    trainer = started("import os, sys; sys.stdin.readline(); os.close(1); sys.stdin.readline()")
    try:
        assert trainer.is_usable()
        trainer._process.stdin.write(b"\n")  # type: ignore[union-attr]
        trainer._process.stdin.flush()  # type: ignore[union-attr]
        assert trainer.frames.get(timeout=20) == Died()
        assert trainer.is_alive()
        assert not trainer.is_usable()
    finally:
        trainer.kill()


def test_a_trainer_that_ended_is_not_usable() -> None:
    trainer = started("pass")
    end = time.monotonic() + 20
    while trainer.is_usable() and time.monotonic() < end:
        time.sleep(0.02)
    assert not trainer.is_usable()
    assert trainer.describe_end() == ("trainer_died", "ended with exit status 0")
    trainer.kill()


def test_a_trainer_that_never_gets_ready_is_told_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho Traceback >&2\necho 'RuntimeError: no NVIDIA driver' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(broken))
    trainers = TrainerPool(Settings(database_url="postgresql+psycopg://nobody@nowhere/nothing", devices="0"))
    trainers.current()
    assert trainers.active is not None
    trainers.discard(trainers.active)
    trainers.stop()
    assert trainers.start_failure == "ended with exit status 1 (RuntimeError: no NVIDIA driver)"
    assert "Traceback" in caplog.text


SPARE = """
import sys
from worker.pipe import read_frame, write_frame
from worker.protocol import Ready, TakeDevice, Waiting
write_frame(sys.stdout.buffer, Waiting())
assert isinstance(read_frame(sys.stdin.buffer), TakeDevice)
write_frame(sys.stdout.buffer, Ready(device={"kind": "cuda"}))
read_frame(sys.stdin.buffer)
"""


def test_a_spare_takes_the_device_once_it_is_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainerProcess, "start", lambda settings, low_priority=False: started(SPARE))
    monkeypatch.setattr("worker.supervisor.trainer_pool.available_bytes", lambda: None)
    trainers = TrainerPool(Settings(database_url="postgresql+psycopg://nobody@nowhere/nothing", spares=1))
    trainers.warm_spare()
    (spare,) = trainers.spares
    try:
        assert spare.waiting.wait(20)
        assert not spare.ready.wait(0.2)
        assert trainers.current() is None  # promoted, and not ready yet
        assert trainers.active is spare
        assert spare.ready.wait(20)
        assert trainers.current() is spare
        assert spare.device == {"kind": "cuda"}
    finally:
        trainers.stop()
