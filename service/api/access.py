"""Access: every operation has a rule, and every request is held against it before its route runs."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import anyio
from fastapi import Request, Response
from fastapi.routing import APIRoute

from service.access import decide
from service.access.rules import PATH_PARAMETERS, RULES, Rule
from service.db.access.owners import Owner, find_owner
from service.db.access.principal import Principal
from service.db.session import EVERY_PROJECT, NO_PROJECT, autocommit
from service.levels import Level
from service.process.runtime import Runtime
from service.schemas.people.keys import expires_soon

KEY_EXPIRES = "Saddle-Key-Expires"  # a header of answers to a key that ends soon


async def check_access(request: Request, response: Response) -> None:
    """Raise `Forbidden` unless the principal may do what the route does; note which project its statements reach."""
    rule = RULES[request.scope["route"].operation_id]
    request.state.reach = EVERY_PROJECT
    if rule.level is None:
        return
    principal: Principal = request.state.principal
    if rule.level is Level.READ:
        principal = request.state.principal = replace(principal, only_reads=True)
    if rule.level is not Level.SERVER:
        request.state.reach = principal.project_id or NO_PROJECT
    if expires_soon(principal.key_expires_at):
        response.headers[KEY_EXPIRES] = f"{principal.key_expires_at:%Y-%m-%dT%H:%M:%SZ}"
    if rule.opened_by and getattr(request.state.runtime.settings, rule.opened_by):
        rule = replace(rule, level=Level.SUBMIT if principal.key_id else Level.READ)
    if rule.dry_run is not None and _is_dry_run(request):
        rule = replace(rule, level=rule.dry_run)
    if rule.own is None:
        decide.check(principal, rule)
    else:
        await anyio.to_thread.run_sync(_check_owner, request, principal, rule)


def _is_dry_run(request: Request) -> bool:
    """Whether the route will store nothing, however its parameter is read: no other spelling, and no second one."""
    return request.query_params.getlist("dry_run") == ["true"]


def _check_owner(request: Request, principal: Principal, rule: Rule) -> None:
    runtime: Runtime = request.state.runtime

    def owner() -> Owner | None:
        assert rule.own is not None
        with autocommit(runtime.engine) as connection:
            return find_owner(connection, principal, rule.own, request.path_params[PATH_PARAMETERS[rule.own]])

    decide.check(principal, rule, owner)


def check_rules(app: Any) -> None:
    """Raise `LookupError` for a route without a rule: better no start than an open door."""
    missing = [route.path for route in routes_of(app) if route.operation_id not in RULES]
    if missing:
        raise LookupError(f"service.access.rules has no rule for {', '.join(missing)}")


def routes_of(holder: Any) -> Iterator[APIRoute]:
    """Yield the routes of an application, those of included routers too."""
    for route in holder.routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "original_router"):
            yield from routes_of(route.original_router)
