"""Routes of saved views and reports: list, save, read, change, delete."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service.api.dependencies import ConnectionDep, PrincipalDep, body, id_path, json_body
from service.api.one_thread import OneThread
from service.api.paging import Cursor, Limit, page_of
from service.db.access.principal import Principal
from service.db.experiments import saved_views
from service.db.experiments.saved_views import StoredView
from service.schemas.common import Page
from service.schemas.people.saved_views import NewView, Place, SavedView, SavedViewItem, ViewChanges
from service.spec.parse.document import TEXTS

router = APIRouter(prefix="/v1/views", tags=["views"], route_class=OneThread)
ViewId = Annotated[str, id_path("viw")]


@router.get("", operation_id="list_views")
def list_views(
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    place: Annotated[Place | None, Query(description="only views of this page")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[SavedViewItem]:
    """List the project's saved views, newest first; those of `compare` are its reports."""
    found = saved_views.page(connection, principal, place, limit + 1, cursor)
    items, next_cursor = page_of(found, limit, request, response)
    return Page(items=[SavedViewItem.of(each) for each in items], next_cursor=next_cursor)


@router.post("", operation_id="post_view", status_code=201, openapi_extra=json_body(NewView))
def post_view(
    new: Annotated[NewView, Depends(body(NewView, TEXTS))], principal: PrincipalDep, connection: ConnectionDep
) -> SavedView:
    """Save a view under a name that its page does not have yet, for everybody in the project."""
    return _view(saved_views.add(connection, principal, new.place, new.name, new.query, new.text), principal)


@router.get("/{view_id}", operation_id="get_view")
def get_view(view_id: ViewId, principal: PrincipalDep, connection: ConnectionDep) -> SavedView:
    """Read a view with its text."""
    return _view(saved_views.get(connection, principal, view_id), principal)


@router.patch("/{view_id}", operation_id="patch_view", openapi_extra=json_body(ViewChanges))
def patch_view(
    view_id: ViewId,
    changes: Annotated[ViewChanges, Depends(body(ViewChanges, TEXTS))],
    principal: PrincipalDep,
    connection: ConnectionDep,
) -> SavedView:
    """Change a view's name, query or text; what is left out stays."""
    given = {name: value for name, value in changes.model_dump().items() if value is not None}
    return _view(saved_views.change(connection, principal, view_id, given), principal)


@router.delete("/{view_id}", operation_id="delete_view", status_code=204)
def delete_view(view_id: ViewId, principal: PrincipalDep, connection: ConnectionDep) -> None:
    """Delete a view; the experiments that it shows stay."""
    saved_views.remove(connection, principal, view_id)


def _view(stored: StoredView, principal: Principal) -> SavedView:
    return SavedView.of(stored, own=stored.owner_id == principal.member_id)
