"""Routes of commands on studies: pause, resume, stop, extend, clone, confirm, delete, restore."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.api.dependencies import ConnectionDep, ContextDep, PrincipalDep, body, json_body, optional_body
from service.api.one_thread import OneThread
from service.api.replies import Forever, IdempotencyKey, NotifyDep, created
from service.api.routes.studies.studies import StudyId
from service.db.studies import bin
from service.schemas.studies.answers import StudyView
from service.schemas.studies.requests import CloneRequest, ConfirmStudyRequest, ExtendRequest
from service.studies import answers, commands
from service.studies.confirmation import confirm_study as start_confirmation

router = APIRouter(prefix="/v1/studies", tags=["studies"], route_class=OneThread)


@router.post("/{study_id}/pause", operation_id="pause_study", status_code=202)
def pause_study(study_id: StudyId, context: ContextDep) -> StudyView:
    """Give out no new point and pause what waits or trains; its checkpoints are kept."""
    return commands.pause_study(context, study_id)


@router.post("/{study_id}/resume", operation_id="resume_study", status_code=202)
def resume_study(study_id: StudyId, context: ContextDep, notify: NotifyDep) -> StudyView:
    """Go on with a paused study."""
    view, queued = commands.resume_study(context, study_id)
    for pool, runs in queued:
        notify(pool, runs)
    return view


@router.post("/{study_id}/stop", operation_id="stop_study", status_code=202)
def stop_study(study_id: StudyId, context: ContextDep) -> StudyView:
    """End a study early: trials that have not ended are cancelled and count as pruned."""
    return commands.stop_study(context, study_id)


@router.post("/{study_id}/extend", operation_id="extend_study", status_code=202, openapi_extra=json_body(ExtendRequest))
def extend_study(
    study_id: StudyId, asked: Annotated[ExtendRequest, Depends(body(ExtendRequest))], context: ContextDep
) -> StudyView:
    """Add to the budget; a study that has finished goes on."""
    return commands.extend_study(context, study_id, asked)


@router.post(
    "/{study_id}/clone",
    operation_id="clone_study",
    status_code=201,
    openapi_extra=json_body(CloneRequest, required=False),
)
def clone_study(
    study_id: StudyId,
    asked: Annotated[CloneRequest, Depends(optional_body(CloneRequest))],
    context: ContextDep,
    notify: NotifyDep,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> StudyView:
    """Post a study that differs from this one in the given fields; it begins without trials."""
    return created(commands.clone_study(context, study_id, asked, idempotency_key), response, notify)


@router.post(
    "/{study_id}/confirm",
    operation_id="confirm_study",
    status_code=202,
    openapi_extra=json_body(ConfirmStudyRequest, required=False),
)
def confirm_study(
    study_id: StudyId,
    asked: Annotated[ConfirmStudyRequest, Depends(optional_body(ConfirmStudyRequest))],
    context: ContextDep,
    notify: NotifyDep,
) -> StudyView:
    """Train the best trials again with seeds that no trial used, and judge them by these alone.

    `confirmation` tells the result beside what the search alone would have claimed. A study has one confirmation: the
    same request again returns it. Where only one trial has finished it is held against the base. 409 while the study
    runs or is paused, or where no trial has finished.
    """
    for pool, runs in start_confirmation(context, study_id, asked):
        notify(pool, runs)
    return answers.read_study(context.connection, context.principal, study_id)


@router.delete("/{study_id}", operation_id="delete_study", status_code=204)
def delete_study(
    study_id: StudyId, principal: PrincipalDep, connection: ConnectionDep, forever: Forever = False
) -> None:
    """Put a study that has ended into the bin, with the experiments that are its trials; restoring brings all back.

    With `forever`, delete it permanently, from the bin too. 409 while the study or one of its runs has not ended. The
    experiments that confirmed its best stay.
    """
    (bin.erase if forever else bin.put)(connection, principal, study_id)


@router.post("/{study_id}/restore", operation_id="restore_study", status_code=202)
def restore_study(study_id: StudyId, principal: PrincipalDep, connection: ConnectionDep) -> StudyView:
    """Take a study out of the bin, with the trials that were deleted with it."""
    bin.restore(connection, principal, study_id)
    return answers.read_study(connection, principal, study_id)
