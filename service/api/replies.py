"""Shared by routes that create something: response headers, and notifying workers afterwards."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import BackgroundTasks, Depends, Header, Query, Response

from service.api.dependencies import RuntimeDep
from service.experiments.context import Made
from service.schemas.experiments import PostedExperiment

T = TypeVar("T")
DryRun = Annotated[bool, Query(description="validate and normalise only; nothing is stored")]
DRY_RUN: dict[int | str, dict[str, Any]] = {200: {"model": PostedExperiment, "description": "Dry run, nothing stored."}}
IdempotencyKey = Annotated[
    str | None,
    Header(pattern=r"^[\x21-\x7e]{1,128}$", description="the same key and body again get the first answer"),
]
Forever = Annotated[
    bool, Query(description="delete for good instead of putting it into the bin; only its owner and admins may")
]
Notify = Callable[[str, int], None]  # pool, runs that now wait in it


async def _notify_after_answer(runtime: RuntimeDep, tasks: BackgroundTasks) -> Notify:
    """Return a function that notifies the workers of a pool after the response."""
    return lambda pool, runs: tasks.add_task(runtime.dispatcher.notify, pool, runs)


NotifyDep = Annotated[Notify, Depends(_notify_after_answer)]


def created(made: Made[T], response: Response, notify: Notify) -> T:
    """Return the answer; set the headers that say where the resource is and whether an earlier request made it."""
    response.headers["Location"] = made.location
    if not made.new:
        response.headers["Idempotent-Replayed"] = "true"
    for pool, runs in made.queued:
        notify(pool, runs)
    return made.answer
