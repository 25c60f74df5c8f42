"""Routes of verifications: try a remedy and read the results."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from service.api.dependencies import ConnectionDep, ContextDep, PrincipalDep, RunId, json_body, optional_body
from service.api.one_thread import OneThread
from service.api.replies import IdempotencyKey, NotifyDep, created
from service.schemas.requests import VerifyRequest
from service.schemas.verifications import VerificationsView, VerificationView
from service.verification.answers import verifications_of
from service.verification.try_remedy import try_remedy

router = APIRouter(prefix="/v1/runs", tags=["diagnosis"], route_class=OneThread)
FindingId = Annotated[str, Path(pattern="^[A-Za-z0-9_.:-]{1,64}$", description="a finding of the run's diagnosis")]


@router.post(
    "/{run_id}/diagnosis/{finding}/verify",
    operation_id="verify_finding",
    status_code=201,
    openapi_extra=json_body(VerifyRequest, required=False),
)
def verify_finding(
    run_id: RunId,
    finding: FindingId,
    request: Annotated[VerifyRequest, Depends(optional_body(VerifyRequest))],
    context: ContextDep,
    notify: NotifyDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> VerificationView:
    """Try the remedy: continue from the last healthy state with and without it, on the same data order.

    409 if the finding has no remedy.
    """
    return created(try_remedy(context, run_id, finding, request.seeds, idempotency_key), response, notify)


@router.get("/{run_id}/diagnosis/{finding}/verify", operation_id="list_verifications")
def list_verifications(
    run_id: RunId, finding: FindingId, principal: PrincipalDep, connection: ConnectionDep
) -> VerificationsView:
    """List the verifications of a remedy, and whether it helped as far as known."""
    return verifications_of(connection, principal, run_id, finding)
