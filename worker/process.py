"""A trainer as its supervisor sees it: a process of its own, a pipe to it, a queue of what it says."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from typing import Any

from service.settings import Settings
from worker.pipe import read_frame, write_frame

HIDDEN = ("SADDLE_DATABASE_URL", "SADDLE_BROKER_URL", "AWS_")  # a trainer gets no credentials
Frame = tuple[dict[str, Any] | None, bytes]


class TrainerProcess:
    """A fresh interpreter that trains; dies with its supervisor: by signal on Linux, by the closed pipe everywhere."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.frames: queue.Queue[Frame] = queue.Queue()
        self.environment: dict[str, Any] = {}
        threading.Thread(target=self._read, name="trainer-frames", daemon=True).start()

    @classmethod
    def start(cls, settings: Settings) -> "TrainerProcess":
        """Start one; it warms itself up and then waits. Call it from a thread that lives as long as the worker."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(HIDDEN)}
        environment |= {"SADDLE_DEVICE": settings.device, "OMP_NUM_THREADS": str(settings.threads)}
        arguments = [
            sys.executable,
            "-m",
            "worker.trainer",
            "--device",
            settings.device,
            "--threads",
            str(settings.threads),
        ]
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        return cls(process)

    def _read(self) -> None:
        """Queue every frame; at the end of the stream a None."""
        stream = self._process.stdout
        assert stream is not None
        with contextlib.suppress(ValueError, OSError):
            while (frame := read_frame(stream)) is not None:
                if frame[0]["type"] == "ready":
                    self.environment = frame[0]
                else:
                    self.frames.put(frame)
        self.frames.put((None, b""))

    def send(self, header: dict[str, Any]) -> None:
        """Tell the trainer something; BrokenPipeError where it is gone."""
        assert self._process.stdin is not None
        write_frame(self._process.stdin, header)

    def alive(self, patience_s: float = 0.0) -> bool:
        """Whether the process runs; waits up to `patience_s` for one that is about to end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        return self._process.poll() is None

    def kill(self) -> None:
        """End it and its children at once, and forget it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError, ValueError):
                assert stream is not None
                stream.close()

    def obituary(self) -> str:
        """How it ended, in words; it is given a moment to do so."""
        if self.alive(patience_s=1.0):
            return "it did not answer"
        code = self._process.returncode
        return f"ended by signal {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
