"""Routes that move an experiment to another project or share it, and those of the project's own settings."""

from typing import Annotated

from fastapi import APIRouter, Depends

from service.api.dependencies import ConnectionDep, ExperimentId, PrincipalDep, body, json_body
from service.api.one_thread import OneThread
from service.db.access import projects
from service.db.access.principal import Principal
from service.db.experiments import moving, sharing
from service.db.session import Connection
from service.schemas.people.sharing import (
    MovedView,
    OtherProject,
    ProjectChanges,
    ProjectSettingsView,
    SharesView,
    ShareView,
)

router = APIRouter(prefix="/v1", tags=["experiments"], route_class=OneThread)
OtherDep = Annotated[OtherProject, Depends(body(OtherProject))]


@router.post(
    "/experiments/{experiment_id}/move",
    operation_id="move_experiment",
    status_code=202,
    openapi_extra=json_body(OtherProject),
)
def move_experiment(
    experiment_id: ExperimentId, wanted: OtherDep, principal: PrincipalDep, connection: ConnectionDep
) -> MovedView:
    """Move an experiment with its runs, checkpoints and comments to a project in which you may submit.

    409 while one of its runs has not ended. Comparisons of this project no longer find it; sharing of it ends.
    """
    there = moving.move(connection, principal, experiment_id, wanted.project)
    return MovedView(id=experiment_id, project=there.project)


@router.get("/experiments/{experiment_id}/shares", operation_id="list_shares")
def list_shares(experiment_id: ExperimentId, principal: PrincipalDep, connection: ConnectionDep) -> SharesView:
    """List the projects that may read an experiment."""
    return _shares(connection, principal, experiment_id)


@router.post(
    "/experiments/{experiment_id}/share",
    operation_id="share_experiment",
    status_code=202,
    openapi_extra=json_body(OtherProject),
)
def share_experiment(
    experiment_id: ExperimentId, wanted: OtherDep, principal: PrincipalDep, connection: ConnectionDep
) -> SharesView:
    """Let the members of another project read an experiment: find, open and compare it."""
    sharing.add(connection, principal, experiment_id, wanted.project)
    return _shares(connection, principal, experiment_id)


@router.post(
    "/experiments/{experiment_id}/unshare",
    operation_id="unshare_experiment",
    status_code=202,
    openapi_extra=json_body(OtherProject),
)
def unshare_experiment(
    experiment_id: ExperimentId, wanted: OtherDep, principal: PrincipalDep, connection: ConnectionDep
) -> SharesView:
    """Stop sharing an experiment with a project, from the next request on."""
    sharing.remove(connection, principal, experiment_id, wanted.project)
    return _shares(connection, principal, experiment_id)


@router.get("/project", operation_id="get_project", tags=["projects"])
def get_project(principal: PrincipalDep, connection: ConnectionDep) -> ProjectSettingsView:
    """Return the project of the key, and its settings."""
    return ProjectSettingsView.of(projects.read_settings(connection, principal))


@router.patch("/project", operation_id="change_project", tags=["projects"], openapi_extra=json_body(ProjectChanges))
def change_project(
    changes: Annotated[ProjectChanges, Depends(body(ProjectChanges))],
    principal: PrincipalDep,
    connection: ConnectionDep,
) -> ProjectSettingsView:
    """Change the project's settings."""
    projects.change_settings(connection, principal, changes.members_manage)
    return ProjectSettingsView.of(projects.read_settings(connection, principal))


def _shares(connection: Connection, principal: Principal, experiment_id: str) -> SharesView:
    return SharesView(items=[ShareView.of(each) for each in sharing.list_shares(connection, principal, experiment_id)])
