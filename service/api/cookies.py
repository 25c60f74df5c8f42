"""The cookie of a session: its name and attributes.

Browsers send a host's cookies to all its ports, so the name holds the port and the path: two servers of one host do
not overwrite each other's. Under https a prefix of the name binds it to this host (RFC 6265bis, 4.1.3).
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response
from starlette.types import Scope

MAX_AGE_S = 30 * 86400  # the longest that a session lasts
FLOW_S = 600  # for signing in at a provider


def read_session(scope: Scope, root_path: str) -> str:
    """Return the cookie that the browser sent; empty if it sent none."""
    return cookie_parser(Headers(scope=scope).get("cookie", "")).get(_name(scope, root_path), "")


def keep_session(response: Response, scope: Scope, root_path: str, value: str) -> None:
    """Have the browser keep the cookie where no script reads it; an empty value takes it out."""
    response.set_cookie(
        _name(scope, root_path),
        value,
        max_age=MAX_AGE_S if value else 0,
        httponly=True,
        samesite="strict",
        secure=scope["scheme"] == "https",
        path=root_path or "/",
    )


def read_flow(scope: Scope, root_path: str) -> str:
    """Return what the browser keeps of a sign-in through a provider that has begun; empty if there is none."""
    return cookie_parser(Headers(scope=scope).get("cookie", "")).get(_name(scope, root_path, "-provider"), "")


def keep_flow(response: Response, scope: Scope, root_path: str, value: str) -> None:
    """Have the browser keep what it needs to end a sign-in that has begun; an empty value takes it out."""
    response.set_cookie(
        _name(scope, root_path, "-provider"),
        value,
        max_age=FLOW_S if value else 0,
        httponly=True,
        samesite="strict",
        secure=scope["scheme"] == "https",
        path=root_path or "/",
    )


def _name(scope: Scope, root_path: str, what: str = "") -> str:
    secure = scope["scheme"] == "https"
    prefix = ("__Secure-" if root_path else "__Host-") if secure else ""
    port = _port(Headers(scope=scope).get("host", "")) or (443 if secure else 80)
    return f"{prefix}saddle-{port}{root_path.replace('/', '-')}{what}"


def _port(host: str) -> int | None:
    try:
        return urlsplit(f"//{host}").port
    except ValueError:
        return None
