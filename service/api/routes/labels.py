"""Routes that edit an experiment's name, tags and notes, archive it or delete it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from service.api import preconditions
from service.api.dependencies import ConnectionDep, ExperimentId, PrincipalDep, body, json_body
from service.api.one_thread import OneThread
from service.api.preconditions import IfMatch
from service.api.replies import Forever
from service.db.access.principal import Principal
from service.db.experiments import bin, deletion, experiments, labels
from service.db.session import Connection
from service.experiments.answers import etag_of, read_experiment
from service.schemas.experiments import ExperimentView
from service.schemas.requests import Labels

router = APIRouter(prefix="/v1/experiments", tags=["experiments"], route_class=OneThread)


@router.patch("/{experiment_id}", operation_id="patch_experiment", openapi_extra=json_body(Labels))
def patch_experiment(
    experiment_id: ExperimentId,
    changes: Annotated[Labels, Depends(body(Labels))],
    principal: PrincipalDep,
    connection: ConnectionDep,
    response: Response,
    if_match: IfMatch = None,
) -> ExperimentView:
    """Change name, tags or notes."""
    _check(connection, principal, experiment_id, if_match)
    labels.update_labels(connection, principal, experiment_id, changes.model_dump(mode="json", exclude_none=True))
    found = read_experiment(connection, principal, experiment_id)
    response.headers["ETag"] = found.etag
    return found


def _check(connection: Connection, principal: Principal, experiment_id: str, if_match: str | None) -> None:
    """Raise `PreconditionFailed` if If-Match does not hold; lock the row until the transaction ends."""
    if if_match is not None:
        preconditions.check(if_match, etag_of(experiments.get(connection, principal, experiment_id, lock=True)))


@router.post("/{experiment_id}/archive", operation_id="archive_experiment", status_code=202)
def archive_experiment(
    experiment_id: ExperimentId, principal: PrincipalDep, connection: ConnectionDep
) -> ExperimentView:
    """Archive an experiment: lists omit it by default. Its runs, curves and comparisons stay."""
    labels.archive(connection, principal, experiment_id, away=True)
    return read_experiment(connection, principal, experiment_id)


@router.post("/{experiment_id}/unarchive", operation_id="unarchive_experiment", status_code=202)
def unarchive_experiment(
    experiment_id: ExperimentId, principal: PrincipalDep, connection: ConnectionDep
) -> ExperimentView:
    """Undo archiving: lists show the experiment again."""
    labels.archive(connection, principal, experiment_id, away=False)
    return read_experiment(connection, principal, experiment_id)


@router.delete("/{experiment_id}", operation_id="delete_experiment", status_code=204)
def delete_experiment(
    experiment_id: ExperimentId,
    principal: PrincipalDep,
    connection: ConnectionDep,
    forever: Forever = False,
    if_match: IfMatch = None,
) -> None:
    """Put an experiment into the bin, with its runs, curves and checkpoints: it can be restored for 30 days.

    With `forever`, delete it permanently, from the bin too; checkpoint files are deleted within minutes. 409 while one
    of its runs has not ended; with `forever` also while a fork from one of its checkpoints has not.
    """
    _check(connection, principal, experiment_id, if_match)
    (deletion.erase if forever else bin.put)(connection, principal, experiment_id)
