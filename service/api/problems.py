"""Error responses: RFC 9457 problem documents, always small, never echoing the input."""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from service.errors import (
    Invalid,
    Malformed,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
    Problem,
    SaddleError,
    TooMany,
    Unauthorized,
    UnsupportedMedia,
)
from service.spec.validation_errors import sanitise

MEDIA_TYPE = "application/problem+json"
MAX_LISTED_BYTES = 3000  # of all problems together, so that a response stays below 4 KiB
RETRY_S = "2"
log = logging.getLogger(__name__)


def problem_response(error: SaddleError, request_id: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the response for `error`; log the cause of a server error."""
    if error.status >= 500 and error.__cause__ is not None:
        log.warning("request %s: %s %s", request_id, error.detail, str(error.__cause__).partition("\n")[0])
    listed = _listed(error.problems)
    more = len(error.problems) - len(listed)
    document = {
        "type": f"urn:saddle:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": sanitise(error.detail) + (f" The first {len(listed)} are listed." if more else ""),
        "instance": request_id,
        "code": error.code,
        "errors": listed,
    }
    return Response(
        json.dumps(document, allow_nan=False), error.status, {**_headers(error), **(headers or {})}, MEDIA_TYPE
    )


def _listed(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = []
    left = MAX_LISTED_BYTES
    for problem in problems:
        item = problem.as_json()
        left -= len(json.dumps(item))
        if left < 0 and listed:
            break
        listed.append(item)
    return listed


def _headers(error: SaddleError) -> dict[str, str]:
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": "Bearer"}
    if isinstance(error, UnsupportedMedia):
        return {"Accept-Encoding": "gzip, identity"}
    if isinstance(error, PreconditionFailed):
        return {"ETag": error.etag}
    if isinstance(error, TooMany) and error.retry_after_s is not None:
        return {"Retry-After": str(math.ceil(error.retry_after_s))}
    return {"Retry-After": RETRY_S} if error.status in (429, 503) else {}


def install_handlers(app: FastAPI) -> None:
    """Turn every error of a route into a problem document."""
    methods = _Methods(app)

    @app.exception_handler(SaddleError)
    async def handle_saddle_error(request: Request, error: SaddleError) -> Response:
        return problem_response(error, request.state.request_id)

    @app.exception_handler(RequestValidationError)
    async def handle_parameters(request: Request, error: RequestValidationError) -> Response:
        return problem_response(_parameter_error(error), request.state.request_id)

    @app.exception_handler(HTTPException)
    async def handle_http_error(request: Request, error: HTTPException) -> Response:
        request_id = request.state.request_id
        if error.status_code == 404:
            return problem_response(NotFound("There is nothing at this path."), request_id)
        if error.status_code == 405:
            allowed = ", ".join(methods.at(request.scope["path"]))
            return problem_response(MethodNotAllowed(f"This path supports {allowed}."), request_id, {"Allow": allowed})
        return problem_response(Malformed("The request cannot be read."), request_id)


class _Methods:
    """The methods that each path supports, read from the OpenAPI document."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._paths: list[tuple[Any, list[str]]] = []

    def at(self, path: str) -> list[str]:
        """Return the methods of `path`, for the Allow header."""
        if not self._paths:
            documented = self._app.openapi()["paths"].items()
            self._paths = [(compile_path(each)[0], [m.upper() for m in methods]) for each, methods in documented]
        found = {method for pattern, methods in self._paths if pattern.match(path) for method in methods}
        return sorted(found | {"HEAD"} if "GET" in found else found)


def _parameter_error(error: RequestValidationError) -> SaddleError:
    """Return `NotFound` for a bad path parameter, or `Invalid` with a problem for each other parameter."""
    items = error.errors()
    if any(item["loc"][0] == "path" for item in items):
        return NotFound("There is nothing at this path.")
    found: dict[str, Problem] = {}
    for item in items:
        where, name = str(item["loc"][0]), str(item["loc"][1]) if len(item["loc"]) > 1 else ""
        pointer = f"/{where}/{name}"
        limits = {key: value for key, value in item.get("ctx", {}).items() if isinstance(value, int | float | str)}
        message = str(item["msg"]).removeprefix("Input ").removeprefix("Value error, ")
        problem = Problem(pointer, item["type"], message[0].lower() + message[1:] + ".", limits or None)
        earlier = found.get(pointer)
        if earlier:  # a union reports one error per type
            detail = f"{earlier.detail[:-1]}, or {problem.detail.removeprefix('should be ')}"
            problem = Problem(pointer, earlier.code, detail, earlier.limit)
        found[pointer] = problem
    return Invalid.of(list(found.values()))
