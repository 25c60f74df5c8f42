"""A trainer as its supervisor sees it: a process of its own, a pipe to it, a queue of what it says."""

import contextlib
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from service.settings import SECRETS, Settings
from worker.pipe import read_frame, write_frame
from worker.supervisor.memory import oom_kills
from worker.supervisor.output import Output
from worker.supervisor.spool import Frames
from worker.supervisor.usage import Usage

log = logging.getLogger(__name__)
HIDDEN = (*(f"SADDLE_{name.upper()}" for name in SECRETS), "SADDLE_KEY", "AWS_")  # a trainer gets no credentials
STACK_S = 0.5  # a healthy process writes its stack within milliseconds


class TrainerProcess:
    """A fresh interpreter that trains; dies with its supervisor: by signal on Linux, by the closed pipe everywhere."""

    def __init__(self, process: subprocess.Popen[bytes], settings: Settings) -> None:
        assert process.stderr is not None
        self._process = process
        self.frames = Frames(settings.data_dir, settings.spool_bytes)
        self._usage = Usage(process.pid, settings.system_s)
        self._orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.output = Output(process.stderr, log)
        self.ready = threading.Event()
        self._silent = threading.Event()  # nothing can be heard from it any more
        self.device: dict[str, Any] = {}  # kind, name, memory_bytes, threads; said with `ready`
        self.moved_at = time.monotonic()  # when its loop was last seen to move
        self._oom_kills = oom_kills()
        for name, target in (("trainer-frames", self._read), ("trainer-orders", self._write)):
            threading.Thread(target=target, name=name, daemon=True).start()

    @classmethod
    def start(cls, settings: Settings, gently: bool = False) -> "TrainerProcess":
        """Start one; it warms itself up and then waits. Call it from a thread that lives as long as the worker.

        `gently`: at low priority until it is warm, because another trains meanwhile.
        """
        environment = {key: value for key, value in os.environ.items() if not key.startswith(HIDDEN)}
        environment |= {"SADDLE_DEVICE": settings.device, "OMP_NUM_THREADS": str(settings.threads)}
        # what `compile` makes is loaded as a library, which a container's /tmp may refuse
        environment.setdefault("TORCHINDUCTOR_CACHE_DIR", str((settings.data_dir / "compiled").resolve()))
        arguments = [sys.executable, "-m", "worker.trainer"]
        arguments += ["--device", settings.device, "--threads", str(settings.threads)]
        process = subprocess.Popen(
            arguments + ["--gently"] * gently,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        return cls(process, settings)

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def _read(self) -> None:
        """Queue every frame that needs an answer; at the end of the stream a None."""
        stream = self._process.stdout
        assert stream is not None
        try:
            with contextlib.suppress(ValueError, OSError):
                while (frame := read_frame(stream)) is not None:
                    if not self._takes(frame[0]):
                        self.frames.put(frame)
        finally:  # whatever ended it: whoever waits for a frame must hear that none comes
            self._silent.set()
            self.frames.put((None, b""))

    def _takes(self, header: dict[str, Any]) -> bool:
        """Whether this frame needs no answer; a `points` frame is given what there is to say of the machine."""
        kind = header["type"]
        if kind == "ready":
            self.device = header.get("facts", {})
            self.ready.set()
        elif kind == "pulse":
            self.moved_at = time.monotonic()
        elif kind == "usage":
            self._usage.device(header["device"])
        elif kind == "started":
            self._usage.begin(header.get("rows_per_step", 0))
        elif kind == "points":
            header["usage"] = self._usage.look(header["series"])
        return kind in ("ready", "pulse", "usage")

    def send(self, header: dict[str, Any]) -> None:
        """Tell the trainer something. Never waits: a stopped process reads nothing, and beats must go on."""
        self._orders.put(header)

    def _write(self) -> None:
        stream = self._process.stdin
        assert stream is not None
        with contextlib.suppress(OSError, ValueError):  # it is gone: its frames end with None
            while header := self._orders.get():
                write_frame(stream, header)

    def begin(self, run_log: "logging.LoggerAdapter[logging.Logger]") -> None:
        """A new attempt: what is said from here on belongs to it."""
        self.output.begin(run_log)
        self.moved_at, self._oom_kills = time.monotonic(), oom_kills()

    def alive(self, patience_s: float = 0.0) -> bool:
        """Whether the process runs; waits up to `patience_s` for one that is about to end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        return self._process.poll() is None

    def usable(self) -> bool:
        """Whether a run may be handed to it: one that cannot be heard is as good as dead, and no run's crash."""
        return self.alive() and not self._silent.is_set()

    def stack(self) -> str:
        """Where its threads stand, innermost first; empty for a process that does not run."""
        before = self.output.size
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGUSR1)
            time.sleep(STACK_S)
        return self.output.tail(min(4096, self.output.size - before)) if self.output.size > before else ""

    def last_words(self) -> str:
        """The end of what it wrote."""
        self.output.ended.wait(0.5)
        return self.output.tail()

    def kill(self) -> None:
        """End it and its children at once, and forget it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._orders.put({})  # ends the writing thread
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError, ValueError):
                assert stream is not None
                stream.close()
        self.frames.close()

    def obituary(self) -> tuple[str, str]:
        """How it ended, as a kind and in words; it is given a moment to do so."""
        if self.alive(patience_s=1.0):
            return "trainer_died", "it did not answer"
        code = self._process.returncode
        if code >= 0:
            return "trainer_died", f"ended with exit status {code}"
        words = f"ended by signal {signal.Signals(-code).name}"
        if -code == signal.SIGKILL and oom_kills() > self._oom_kills:
            return "oom_host", f"{words}: the kernel killed a process for want of memory meanwhile"
        return "trainer_died", words
