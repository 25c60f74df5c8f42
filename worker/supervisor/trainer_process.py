"""A trainer as its supervisor sees it: a process of its own, a pipe to it, a queue of the frames it sends."""

import contextlib
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import Any

from service.settings import SECRETS, Settings
from worker.pipe import read_frame, write_frame
from worker.protocol import Alive, DeviceUsage, Died, Frame, Points, Ready, Started
from worker.supervisor.memory import oom_kills
from worker.supervisor.output import TrainerOutput
from worker.supervisor.spool import FrameQueue
from worker.supervisor.usage import UsageSampler

log = logging.getLogger(__name__)
SECRET_PREFIXES = (
    *(f"SADDLE_{name.upper()}" for name in SECRETS),
    "SADDLE_KEY",
    "AWS_",
)  # no credentials for a trainer
STACK_WAIT_S = 0.5  # a healthy process writes its stack within milliseconds


class TrainerProcess:
    """A fresh interpreter that trains. It dies with its supervisor: by signal on Linux, else by the closed pipe."""

    def __init__(self, process: subprocess.Popen[bytes], settings: Settings) -> None:
        assert process.stderr is not None
        self._process = process
        self.frames = FrameQueue(settings.data_dir, settings.spool_bytes)
        self._usage = UsageSampler(process.pid, settings.system_s)
        self._outgoing: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self.output = TrainerOutput(process.stderr, log)
        self.ready = threading.Event()
        self._stream_ended = threading.Event()  # no frame can come from it any more
        self.device: dict[str, Any] = {}  # kind, name, memory_bytes, threads; known once it is ready
        self.moved_at = time.monotonic()  # when its loop was last seen to move
        self._oom_kills = oom_kills()
        for name, target in (("trainer-frames", self._read), ("trainer-requests", self._write)):
            threading.Thread(target=target, name=name, daemon=True).start()

    @classmethod
    def start(cls, settings: Settings, low_priority: bool = False) -> "TrainerProcess":
        """Start one; it warms up and then waits. Call this from a thread that lives as long as the worker.

        `low_priority` lasts until it is warm: another trainer is training meanwhile.
        """
        environment = {key: value for key, value in os.environ.items() if not key.startswith(SECRET_PREFIXES)}
        environment |= {"SADDLE_DEVICE": settings.device, "OMP_NUM_THREADS": str(settings.threads)}
        # compiled models are loaded as libraries, which a container's /tmp may refuse
        environment.setdefault("TORCHINDUCTOR_CACHE_DIR", str((settings.data_dir / "compiled").resolve()))
        arguments = [sys.executable, "-m", "worker.trainer"]
        arguments += ["--device", settings.device, "--threads", str(settings.threads)]
        process = subprocess.Popen(
            arguments + ["--low-priority"] * low_priority,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        return cls(process, settings)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def _read(self) -> None:
        """Queue every frame that needs handling, and `Died` at the end of the stream."""
        stream = self._process.stdout
        assert stream is not None
        try:
            with contextlib.suppress(ValueError, OSError):
                while (frame := read_frame(stream)) is not None:
                    if (unhandled := self._observe(frame)) is not None:
                        self.frames.put(unhandled)
        finally:  # whatever ended it, whoever waits for a frame must learn that none comes
            self._stream_ended.set()
            self.frames.put(Died())

    def _observe(self, frame: Frame) -> Frame | None:
        """Take note of a frame and return it if there is more to do; points get the usage of the machine with them."""
        match frame:
            case Ready():
                self.device = frame.device
                self.ready.set()
            case Alive():
                self.moved_at = time.monotonic()
            case DeviceUsage():
                self._usage.device_values = frame.values
            case Started():
                self._usage.begin(frame.rows_per_step)
                return frame
            case Points():
                return replace(frame, usage=self._usage.sample(frame.series))
            case _:
                return frame
        return None

    def send(self, frame: Frame) -> None:
        """Send the trainer a frame. Never waits: a stopped process reads nothing, and beats must go on."""
        self._outgoing.put(frame)

    def _write(self) -> None:
        stream = self._process.stdin
        assert stream is not None
        with contextlib.suppress(OSError, ValueError):  # it is gone: `Died` ends its frames
            while (frame := self._outgoing.get()) is not None:
                write_frame(stream, frame)

    def begin(self, run_log: "logging.LoggerAdapter[logging.Logger]") -> None:
        """Begin a new attempt: output from here on belongs to it."""
        self.output.begin(run_log)
        self.moved_at, self._oom_kills = time.monotonic(), oom_kills()

    def is_alive(self, patience_s: float = 0.0) -> bool:
        """Whether the process runs; waits up to `patience_s` for one that is about to end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        return self._process.poll() is None

    def is_usable(self) -> bool:
        """Whether a run may be handed to it: a trainer whose stream has ended is as good as dead."""
        return self.is_alive() and not self._stream_ended.is_set()

    def stack(self) -> str:
        """Return the stack of each thread, innermost frame first; empty if the process does not run."""
        before = self.output.size
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGUSR1)
            time.sleep(STACK_WAIT_S)
        return self.output.tail(min(4096, self.output.size - before)) if self.output.size > before else ""

    def last_words(self) -> str:
        """Return the end of its output."""
        self.output.ended.wait(0.5)
        return self.output.tail()

    def kill(self) -> None:
        """Kill it and its children, and free what belongs to it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._outgoing.put(None)  # ends the writing thread
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError, ValueError):
                assert stream is not None
                stream.close()
        self.frames.close()

    def obituary(self) -> tuple[str, str]:
        """Return how it ended, as a failure kind and in words; waits a moment for it."""
        if self.is_alive(patience_s=1.0):
            return "trainer_died", "it did not answer"
        code = self._process.returncode
        if code >= 0:
            return "trainer_died", f"ended with exit status {code}"
        words = f"ended by signal {signal.Signals(-code).name}"
        if -code == signal.SIGKILL and oom_kills() > self._oom_kills:
            return "oom_host", f"{words}: meanwhile the kernel killed a process because memory ran out"
        return "trainer_died", words
