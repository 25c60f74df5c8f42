"""What routes that create something share: the headers of the answer, and notifying workers after it."""

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import BackgroundTasks, Depends, Header, Response

from service.api.dependencies import RuntimeDep
from service.experiments.context import Made

T = TypeVar("T")
IdempotencyKey = Annotated[
    str | None,
    Header(pattern=r"^[\x21-\x7e]{1,128}$", description="the same key and body again give the first answer again"),
]


Notify = Callable[[str, int], None]  # pool, runs that now wait in it


def _notify_after_answer(runtime: RuntimeDep, tasks: BackgroundTasks) -> Notify:
    """Return a function that notifies the workers of a pool once the answer is sent."""
    return lambda pool, runs: tasks.add_task(runtime.dispatcher.notify, pool, runs)


NotifyDep = Annotated[Notify, Depends(_notify_after_answer)]


def created(made: Made[T], response: Response, notify: Notify) -> T:
    """Return the answer; its headers say where the thing is, and whether an earlier request made it."""
    response.headers["Location"] = made.location
    if not made.new:
        response.headers["Idempotent-Replayed"] = "true"
    for pool, runs in made.queued:
        notify(pool, runs)
    return made.answer
