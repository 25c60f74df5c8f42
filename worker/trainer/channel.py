"""The trainer's end of the pipe: frames out under a lock, frames in by a thread that never sleeps through an end."""

import os
import queue
import sys
import threading
from typing import Any

from worker.pipe import read_frame, write_frame

PARENT_GONE = 70  # exit status; EX_SOFTWARE of sysexits.h


class Channel:
    """Speaks to the supervisor. Where that is gone there is nobody to train for: the process ends at once."""

    def __init__(self, inward: int, outward: int) -> None:
        self._inward = os.fdopen(inward, "rb")  # ours alone: sys.stdin's lock would hang the interpreter's end
        self._outward = os.fdopen(outward, "wb")
        self._writing = threading.Lock()
        self._orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.wish: str | None = None  # for the run being trained; read at every step
        threading.Thread(target=self._read, name="pipe", daemon=True).start()

    def send(self, kind: str, payload: bytes = b"", /, **fields: Any) -> None:
        """Send one frame; whole, whichever threads send."""
        try:
            with self._writing:
                write_frame(self._outward, {"type": kind, **fields}, payload)
        except BrokenPipeError:
            os._exit(PARENT_GONE)

    def next_order(self) -> dict[str, Any]:
        """Wait for the next `train` frame."""
        return self._orders.get()

    def _read(self) -> None:
        try:
            while (frame := read_frame(self._inward)) is not None:
                header = frame[0]
                if header["type"] == "wish":
                    self.wish = header["wish"]
                else:
                    self.wish = None  # an older wish was for the run before
                    self._orders.put(header)
        except (OSError, ValueError, KeyError) as error:
            sys.stderr.write(f"the pipe from the supervisor is broken: {error}\n")
        os._exit(PARENT_GONE)


def take_over() -> tuple[int, int]:
    """The pipe's two ends for ourselves; a stray print goes to stderr, and a stray read finds nothing."""
    inward, outward = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return inward, outward
