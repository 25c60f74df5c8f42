"""The writing of checkpoints beside the training: one at a time, on a thread of its own."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from worker.trainer import liveness
from worker.trainer.checkpoints import checkpoint
from worker.trainer.checkpoints.checkpoint import Saved, State, Tensors
from worker.trainer.loop import Training


class CheckpointWriter:
    """Writes states of one training into `folder`."""

    def __init__(self, folder: Path, moved: Callable[[], None]) -> None:
        self.folder, self._moved = folder, moved
        self._buffers: Tensors = {}  # of the copy; there is never more than one
        self._thread: threading.Thread | None = None
        self._error: Exception | None = None  # of the last write, unless its disk was the reason

    def copy(self, training: Training, extra: dict[str, Any]) -> State:
        """Copy the state to write, after `wait`; see `copy_state`."""
        return checkpoint.copy_state(training, extra, self._buffers)

    def start(self, state: State, ended: Callable[[Saved | OSError], None]) -> None:
        """Begin to write, after `wait`; `ended` is called on the writing thread."""
        self._thread = threading.Thread(target=self._write, args=(state, ended), name="checkpoint", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the write under way; raise what broke it, unless it was the disk.

        `moved` is called as long as the writing thread moves, because the waiting one does not.
        """
        if (thread := self._thread) is None:
            return
        thread.join(liveness.PERIOD_S)
        if thread.ident is not None and thread.is_alive():
            liveness.start(thread.ident, self._moved, computes=True)
        thread.join()
        self._thread, error, self._error = None, self._error, None
        if error is not None:
            raise error

    def _write(self, state: State, ended: Callable[[Saved | OSError], None]) -> None:
        try:
            try:
                result: Saved | OSError = checkpoint.write(self.folder, state)
            except OSError as error:
                result = error
            ended(result)
        except Exception as error:
            self._error = error
