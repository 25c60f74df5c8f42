"""The trainer's end of the pipe: sends frames under a lock, receives them on a separate thread."""

import os
import queue
import sys
import threading
from dataclasses import replace
from typing import Protocol

from worker.pipe import read_frame, write_frame
from worker.protocol import Ended, Failed, Frame, PackRequest, Stop, StopRequest, TakeDevice, TrainRequest

PARENT_GONE = 70  # exit status; EX_SOFTWARE of sysexits.h


class SupervisorLink(Protocol):
    """The interface of the supervisor to a training."""

    stop: Stop | None  # how to stop at the next step boundary; None: go on

    def send(self, frame: Frame) -> None:
        """Send one frame."""


class PackLink(Protocol):
    """The interface of the supervisor to a pack."""

    def member(self, lease: str) -> SupervisorLink:
        """Return the link of the run with this lease."""


class MemberLink:
    """The link of one run of a pack: its own stop requests, and its lease on each frame."""

    def __init__(self, channel: "Channel", lease: str) -> None:
        self._channel, self.lease = channel, lease
        self.stop: Stop | None = None
        self.ended = False  # a frame has said how the run ended

    def send(self, frame: Frame) -> None:
        """Send one frame about this run."""
        self.ended = self.ended or isinstance(frame, Ended | Failed)
        self._channel.send(replace(frame, lease=self.lease))


class Channel:
    """The connection to the supervisor; the process exits when it closes."""

    def __init__(self, inward: int, outward: int) -> None:
        self._inward = os.fdopen(inward, "rb")  # not sys.stdin, whose lock would block the interpreter's exit
        self._outward = os.fdopen(outward, "wb")
        self._writing = threading.Lock()
        self._requests: queue.SimpleQueue[TrainRequest | PackRequest] = queue.SimpleQueue()
        self._members: dict[str, MemberLink] = {}  # of the pack being trained, by lease
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

    def next_request(self) -> TrainRequest | PackRequest:
        """Wait for the next run or pack."""
        return self._requests.get()

    def member(self, lease: str) -> MemberLink:
        """Return the link of the pack's run with this lease."""
        return self._members[lease]

    @property
    def open_members(self) -> list[MemberLink]:
        """The links of the pack's runs that have not ended."""
        return [member for member in self._members.values() if not member.ended]

    def _read(self) -> None:
        try:
            while (frame := read_frame(self._inward)) is not None:
                self._receive(frame)
        except (OSError, ValueError) as error:
            sys.stderr.write(f"the pipe from the supervisor is broken: {error}\n")
        os._exit(PARENT_GONE)

    def _receive(self, frame: Frame) -> None:
        match frame:
            case StopRequest(lease=None):
                self.stop = frame.how
            case StopRequest(lease=str(lease)):
                if lease in self._members:  # else it came after the end of its pack
                    self._members[lease].stop = frame.how
            case TakeDevice():
                self.may_take_device.set()
            case TrainRequest() | PackRequest():
                self.stop = None  # an earlier request was for the previous run
                leases = [request.lease for request in frame.members] if isinstance(frame, PackRequest) else []
                self._members = {lease: MemberLink(self, lease) for lease in leases if lease is not None}
                self._requests.put(frame)


def take_over_stdio() -> tuple[int, int]:
    """Move the pipe to new descriptors, so that stray prints go to stderr and stray reads get nothing."""
    inward, outward = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # so that each line is in the run's log at once
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return inward, outward
