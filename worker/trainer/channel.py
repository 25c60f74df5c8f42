"""The trainer's end of the pipe: sends frames under a lock, receives them on a separate thread."""

import os
import queue
import sys
import threading
from typing import Protocol

from worker.pipe import read_frame, write_frame
from worker.protocol import Frame, Stop, StopRequest, TakeDevice, TrainRequest

PARENT_GONE = 70  # exit status; EX_SOFTWARE of sysexits.h


class SupervisorLink(Protocol):
    """The interface of the supervisor to a training."""

    stop: Stop | None  # how to stop at the next step boundary; None: go on

    def send(self, frame: Frame) -> None:
        """Send one frame."""


class Channel:
    """The connection to the supervisor; the process exits when it closes."""

    def __init__(self, inward: int, outward: int) -> None:
        self._inward = os.fdopen(inward, "rb")  # not sys.stdin, whose lock would block the interpreter's exit
        self._outward = os.fdopen(outward, "wb")
        self._writing = threading.Lock()
        self._requests: queue.SimpleQueue[TrainRequest] = queue.SimpleQueue()
        self.stop: Stop | None = None  # for the run being trained; read at every step
        self.may_take_device = threading.Event()  # set once a spare is the active trainer
        threading.Thread(target=self._read, name="pipe", daemon=True).start()

    def send(self, frame: Frame) -> None:
        """Send one frame, whole even when several threads send."""
        try:
            with self._writing:
                write_frame(self._outward, frame)
        except BrokenPipeError:
            os._exit(PARENT_GONE)

    def next_request(self) -> TrainRequest:
        """Wait for the next run."""
        return self._requests.get()

    def _read(self) -> None:
        try:
            while (frame := read_frame(self._inward)) is not None:
                if isinstance(frame, StopRequest):
                    self.stop = frame.how
                elif isinstance(frame, TakeDevice):
                    self.may_take_device.set()
                elif isinstance(frame, TrainRequest):
                    self.stop = None  # an earlier request was for the previous run
                    self._requests.put(frame)
        except (OSError, ValueError) as error:
            sys.stderr.write(f"the pipe from the supervisor is broken: {error}\n")
        os._exit(PARENT_GONE)


def take_over_stdio() -> tuple[int, int]:
    """Move the pipe to new descriptors, so that stray prints go to stderr and stray reads get nothing."""
    inward, outward = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # so that each line is in the run's log at once
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return inward, outward
