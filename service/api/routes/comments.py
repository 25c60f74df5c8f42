"""Routes of comments on experiments and runs: list, write, change, delete."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service.api.dependencies import ConnectionDep, ExperimentId, PrincipalDep, body, id_path, json_body
from service.api.one_thread import OneThread
from service.api.paging import Cursor, Limit, page_of
from service.db.access.principal import Principal
from service.db.experiments import comments
from service.db.experiments.comments import StoredComment
from service.schemas.common import Page
from service.schemas.people.comments import CommentView, EditedComment, NewComment

router = APIRouter(prefix="/v1", tags=["comments"], route_class=OneThread)
CommentId = Annotated[str, id_path("cmt")]


@router.get("/experiments/{experiment_id}/comments", operation_id="list_comments")
def list_comments(
    experiment_id: ExperimentId,
    principal: PrincipalDep,
    connection: ConnectionDep,
    request: Request,
    response: Response,
    run: Annotated[
        str | None, Query(pattern="^run_[0-9a-hjkmnp-tv-z]{26}$", description="only those on this run")
    ] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[CommentView]:
    """List the comments on an experiment and its runs, newest first."""
    found = comments.page(connection, principal, experiment_id, run, limit + 1, cursor)
    items, next_cursor = page_of(found, limit, request, response)
    return Page(items=[_view(each, principal) for each in items], next_cursor=next_cursor)


@router.post(
    "/experiments/{experiment_id}/comments",
    operation_id="post_comment",
    status_code=201,
    openapi_extra=json_body(NewComment),
)
def post_comment(
    experiment_id: ExperimentId,
    new: Annotated[NewComment, Depends(body(NewComment))],
    principal: PrincipalDep,
    connection: ConnectionDep,
) -> CommentView:
    """Comment on an experiment or one of its runs; `@name` names a member of the project."""
    return _view(comments.add(connection, principal, experiment_id, new.run_id, new.text), principal)


@router.patch("/comments/{comment_id}", operation_id="edit_comment", openapi_extra=json_body(EditedComment))
def edit_comment(
    comment_id: CommentId,
    changed: Annotated[EditedComment, Depends(body(EditedComment))],
    principal: PrincipalDep,
    connection: ConnectionDep,
) -> CommentView:
    """Change your own comment."""
    return _view(comments.edit(connection, principal, comment_id, changed.text), principal)


@router.delete("/comments/{comment_id}", operation_id="delete_comment", status_code=204)
def delete_comment(comment_id: CommentId, principal: PrincipalDep, connection: ConnectionDep) -> None:
    """Delete a comment: your own, or as an admin any."""
    comments.remove(connection, principal, comment_id)


def _view(stored: StoredComment, principal: Principal) -> CommentView:
    return CommentView.of(stored, own=stored.author_id == principal.member_id)
