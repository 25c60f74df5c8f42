"""What routes that make something share: the headers of the answer, and notifying workers after it."""

from typing import Annotated, TypeVar

from fastapi import BackgroundTasks, Depends, Header, Response

from service.api.dependencies import RuntimeDep
from service.api.runtime import Runtime
from service.experiments.context import Made

T = TypeVar("T")
IdempotencyKey = Annotated[
    str | None,
    Header(pattern=r"^[\x21-\x7e]{1,128}$", description="the same key and body again give the first answer again"),
]


class Notifier:
    """Notifies the workers of a pool once the answer is sent."""

    def __init__(self, runtime: Runtime, tasks: BackgroundTasks) -> None:
        self._runtime, self._tasks = runtime, tasks

    def __call__(self, pool: str, runs: int) -> None:
        """Notify as many workers of the pool as runs were queued."""
        self._tasks.add_task(self._runtime.dispatcher.ring, pool, runs)


def _notifier(runtime: RuntimeDep, tasks: BackgroundTasks) -> Notifier:
    return Notifier(runtime, tasks)


NotifierDep = Annotated[Notifier, Depends(_notifier)]


def created(made: Made[T], response: Response, notify: Notifier) -> T:
    """Return the answer; its headers say where the thing is, and whether an earlier request made it."""
    response.headers["Location"] = made.location
    if not made.new:
        response.headers["Idempotent-Replayed"] = "true"
    for pool, runs in made.queued:
        notify(pool, runs)
    return made.answer
