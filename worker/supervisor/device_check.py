"""Whether a device is broken, asked after an error that may be its own: a fresh trainer warms up on it or does not."""

import time
from collections.abc import Callable
from typing import Any, Protocol

from worker.supervisor.trainer_process import TrainerProcess

WARM_POLL_S = 0.05  # between checks whether a fresh trainer is warm


class TrainerStarter(Protocol):
    """The interface of a worker to whoever needs a fresh trainer."""

    def renew(self, trainer: TrainerProcess) -> None:
        """Kill this trainer and the spares; a fresh one starts."""

    @property
    def is_warm(self) -> bool:
        """Whether a trainer is warm; if none is and none is starting, start one."""

    @property
    def start_problem(self) -> str | None:
        """Why no trainer starts, once several have failed to."""


def is_device_broken(
    worker: TrainerStarter, trainer: TrainerProcess, keep_lease: Callable[[], bool], evidence: dict[str, Any]
) -> bool:
    """Replace the trainer by a fresh one; return whether none warms up, and add the answer to the evidence.

    `keep_lease` is called meanwhile. It returns False to end the check: the next claim needs a warm trainer anyway.
    """
    worker.renew(trainer)
    while not worker.is_warm:
        if (problem := worker.start_problem) is not None:
            evidence["device"] = problem
            return True
        if not keep_lease():
            evidence["device"] = "not checked: the run or the worker was asked to stop"
            return False
        time.sleep(WARM_POLL_S)
    evidence["device"] = "works: a fresh trainer has warmed up on it, so the failure is the run's"
    return False
