"""Routes of what people write on an experiment: its name, tags and notes; putting it away, deleting it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.api import preconditions
from service.api.dependencies import ConnectionDep, ExperimentId, PrincipalDep, body, request_body
from service.api.preconditions import IfMatch
from service.db.access.projects import Principal
from service.db.experiments import deletion, experiments, labels
from service.db.session import Connection
from service.experiments.answers import etag_of, read_experiment
from service.schemas.experiments import ExperimentView
from service.schemas.requests import Labels

router = APIRouter(prefix="/v1/experiments", tags=["experiments"])


@router.patch("/{experiment_id}", operation_id="patch_experiment", openapi_extra=request_body(Labels))
def patch_experiment(
    experiment_id: ExperimentId,
    written: Annotated[Labels, Depends(body(Labels))],
    principal: PrincipalDep,
    connection: ConnectionDep,
    response: Response,
    if_match: IfMatch = None,
) -> ExperimentView:
    """Write name, tags or notes."""
    _check(connection, principal, experiment_id, if_match)
    labels.update_labels(connection, principal, experiment_id, written.model_dump(mode="json", exclude_none=True))
    found = read_experiment(connection, principal, experiment_id)
    response.headers["ETag"] = found.etag
    return found


def _check(connection: Connection, principal: Principal, experiment_id: str, if_match: str | None) -> None:
    """Whether the precondition holds; until the transaction ends nobody changes what it was checked against."""
    if if_match is not None:
        preconditions.check(if_match, etag_of(experiments.get(connection, principal, experiment_id, lock=True)))


@router.post("/{experiment_id}/archive", operation_id="archive_experiment", status_code=202)
def archive_experiment(
    experiment_id: ExperimentId, principal: PrincipalDep, connection: ConnectionDep
) -> ExperimentView:
    """Put it away: lists leave it out unless asked. Its runs, curves and comparisons stay."""
    labels.archive(connection, principal, experiment_id, away=True)
    return read_experiment(connection, principal, experiment_id)


@router.post("/{experiment_id}/unarchive", operation_id="unarchive_experiment", status_code=202)
def unarchive_experiment(
    experiment_id: ExperimentId, principal: PrincipalDep, connection: ConnectionDep
) -> ExperimentView:
    """Bring it back."""
    labels.archive(connection, principal, experiment_id, away=False)
    return read_experiment(connection, principal, experiment_id)


@router.delete("/{experiment_id}", operation_id="delete_experiment", status_code=204)
def delete_experiment(
    experiment_id: ExperimentId, principal: PrincipalDep, connection: ConnectionDep, if_match: IfMatch = None
) -> None:
    """Delete it for good, with its runs, curves and checkpoints. 409 while one of its runs has not ended.

    Also 409 while a fork that starts from one of its checkpoints has not ended. Files of checkpoints go within minutes.
    """
    _check(connection, principal, experiment_id, if_match)
    deletion.erase(connection, principal, experiment_id)
