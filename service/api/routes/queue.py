"""Route of the queue: whose turn it is in each pool."""

from fastapi import APIRouter

from service.api.dependencies import ConnectionDep, PrincipalDep
from service.api.one_thread import OneThread
from service.experiments.queue_answers import read_queue
from service.schemas.queue import QueueView

router = APIRouter(prefix="/v1/queue", tags=["runs"], route_class=OneThread)


@router.get("", operation_id="get_queue")
def get_queue(principal: PrincipalDep, connection: ConnectionDep) -> QueueView:
    """Return, for each pool, recent use, running and waiting runs of the project's people, and which runs are next.

    Other projects appear as sums only.
    """
    return read_queue(connection, principal)
