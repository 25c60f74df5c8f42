"""The supervisor's handle of a trainer: its process, the pipe to it, and the queue of its frames."""

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
from worker.memory import oom_kills
from worker.pipe import read_frame, write_frame
from worker.protocol import Alive, DeviceUsage, Died, Frame, Points, Ready, Started, TakeDevice, Waiting
from worker.supervisor.output import TrainerOutput
from worker.supervisor.spool import FrameQueue
from worker.supervisor.trainer_account import trainer_account
from worker.supervisor.usage import UsageSampler
from worker.supervisor.visibility import VISIBLE, torch_device, visible_devices

log = logging.getLogger(__name__)
SECRET_PREFIXES = (
    *(f"SADDLE_{name.upper()}" for name in SECRETS),
    "SADDLE_KEY",
    "AWS_",
    "OTEL_",  # its headers may hold the receiver's key
    "PGPASS",
)  # no credentials for a trainer
STACK_WAIT_S = 0.5  # a healthy process writes its stack within milliseconds


class TrainerProcess:
    """A trainer process. It dies with its supervisor: by a signal on Linux, elsewhere by the closed pipe."""

    def __init__(self, process: subprocess.Popen[bytes], settings: Settings) -> None:
        assert process.stderr is not None
        self._process = process
        self.frames = FrameQueue(settings.data_dir, settings.spool_bytes)
        self._system_s = settings.system_s
        self._usages: dict[str | None, UsageSampler] = {}  # by the lease of a run in a pack
        self._outgoing: queue.SimpleQueue[Frame | None] = queue.SimpleQueue()
        self.output = TrainerOutput(process.stderr, log)
        self.ready = threading.Event()
        self.waiting = threading.Event()  # warm except for the device, which it takes once it is promoted
        self._stream_ended = threading.Event()  # no more frames can arrive
        self.device: dict[str, Any] = {}  # kind, name, memory_bytes, threads; known once it is ready
        self.started_at = self.moved_at = time.monotonic()  # moved: when its loop was last seen to move
        self._oom_kills = oom_kills()
        for name, target in (("trainer-frames", self._read), ("trainer-requests", self._write)):
            threading.Thread(target=target, name=name, daemon=True).start()

    @classmethod
    def start(cls, settings: Settings, low_priority: bool = False) -> "TrainerProcess":
        """Start a trainer, which warms up and then waits. Call this from a thread that lives as long as the worker.

        With `low_priority` it warms up at low priority, because another trainer is training.
        """
        environment = {key: value for key, value in os.environ.items() if not key.startswith(SECRET_PREFIXES)}
        devices = settings.slot_devices
        environment |= {"SADDLE_DEVICES": settings.devices, VISIBLE: visible_devices(devices)}
        environment |= {"OMP_NUM_THREADS": str(settings.threads)}
        # compiled models are loaded as libraries, which a container's /tmp may refuse
        account = trainer_account(settings)
        environment.setdefault("TORCHINDUCTOR_CACHE_DIR", str(account.cache.resolve()))
        environment |= account.environment()
        arguments = [sys.executable, "-m", "worker.trainer"]
        arguments += ["--device", torch_device(devices), "--threads", str(settings.threads)]
        arguments += ["--ranks", str(len(devices))] if len(devices) > 1 else []
        process = subprocess.Popen(
            arguments + ["--low-priority"] * low_priority,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            start_new_session=True,
            **account.popen(),
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
        finally:  # whoever waits for a frame must learn that none will come
            self._stream_ended.set()
            self.frames.put(Died())

    def _observe(self, frame: Frame) -> Frame | None:
        """Record a frame; return it if it needs handling, points with the usage of the machine."""
        match frame:
            case Waiting():
                self.waiting.set()
            case Ready():
                self.device = frame.device
                self.ready.set()
            case Alive():
                self.moved_at = time.monotonic()
            case DeviceUsage():
                for usage in self._usages.values():
                    usage.device_values = frame.values
            case Started():
                self._usage(frame).begin(frame.rows_per_step)
                return frame
            case Points():
                return replace(frame, usage=self._usage(frame).sample(frame.series))
            case _:
                return frame
        return None

    def _usage(self, frame: Frame) -> UsageSampler:
        """Return the sampler of the attempt that a frame is about."""
        return self._usages.setdefault(frame.lease, UsageSampler(self.pid, self._system_s))

    def send(self, frame: Frame) -> None:
        """Send a frame to the trainer without waiting: a stopped process reads nothing, and heartbeats must go on."""
        self._outgoing.put(frame)

    def promote(self) -> None:
        """Let a spare take the device."""
        self.send(TakeDevice())

    def _write(self) -> None:
        stream = self._process.stdin
        assert stream is not None
        with contextlib.suppress(OSError, ValueError):  # it has died, and `Died` is queued
            while (frame := self._outgoing.get()) is not None:
                write_frame(stream, frame)

    def begin(self, run_log: "logging.LoggerAdapter[logging.Logger]") -> None:
        """Begin a new attempt, to which all further output belongs."""
        self._usages.clear()
        self.output.begin(run_log)
        self.moved_at, self._oom_kills = time.monotonic(), oom_kills()

    def is_alive(self, patience_s: float = 0.0) -> bool:
        """Whether the process is running; waits up to `patience_s` for it to end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience_s)
        return self._process.poll() is None

    def is_usable(self) -> bool:
        """Whether it can take a run: it is running and its stream is open."""
        return self.is_alive() and not self._stream_ended.is_set()

    def stack(self) -> str:
        """Return the stack of each thread, innermost frame first; empty if the process is not running."""
        before = self.output.size
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGUSR1)
            time.sleep(STACK_WAIT_S)
        return self.output.tail(min(4096, self.output.size - before)) if self.output.size > before else ""

    def output_tail(self) -> str:
        """Return the end of its output."""
        self.output.ended.wait(0.5)
        return self.output.tail()

    def kill(self) -> None:
        """Kill the process and its children, and close its streams."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._outgoing.put(None)  # ends the writing thread
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError, ValueError):
                assert stream is not None
                stream.close()
        self.frames.close()

    def describe_end(self) -> tuple[str, str]:
        """Return how the process ended, as a failure kind and in words; waits a second for it to end."""
        if self.is_alive(patience_s=1.0):
            return "trainer_died", "it did not respond"
        code = self._process.returncode
        if code >= 0:
            return "trainer_died", f"ended with exit status {code}"
        words = f"ended by signal {signal.Signals(-code).name}"
        if -code == signal.SIGKILL and oom_kills() > self._oom_kills:
            return "oom_host", f"{words}: meanwhile the kernel killed a process because memory ran out"
        return "trainer_died", words
