"""Routes that all applications of a test process share.

FastAPI builds a router's routes for each application, when a request first passes the router: 0.2 s for all of ours. A
server has one application and pays once; most tests of the API have one of their own.
"""

from fastapi import APIRouter
from starlette.routing import BaseRoute

from service.api.app import Api

_include = Api.include_router
_included: dict[int, tuple[APIRouter, BaseRoute]] = {}  # by the identity of a router, which is kept


def include_once(app: Api, router: APIRouter) -> None:
    """Include a router as FastAPI does, with the routes that an earlier application built of it."""
    if id(router) in _included:
        app.router.routes.append(_included[id(router)][1])
    else:
        _include(app, router)
        _included[id(router)] = router, app.router.routes[-1]


Api.include_router = include_once  # type: ignore[method-assign,assignment]
