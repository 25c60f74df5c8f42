"""Routes for signing in on the page: the key is kept in a cookie that scripts cannot read."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from service.api.dependencies import RuntimeDep, body, json_body
from service.api.middleware.authentication import COOKIE, look_up
from service.errors import Invalid, Problem
from service.process.runtime import Runtime
from service.schemas.keys import expires_soon
from service.schemas.service import Me, SignedOut, SignIn

router = APIRouter(prefix="/v1/session", tags=["service"])


@router.post("", operation_id="sign_in", openapi_extra=json_body(SignIn))
async def sign_in(
    credentials: Annotated[SignIn, Depends(body(SignIn))], runtime: RuntimeDep, request: Request, response: Response
) -> Me:
    """Keep a key in this browser until the user signs out or closes it."""
    key = credentials.key.strip()  # pasted keys often have spaces
    principal = await look_up(runtime, key, request.client and request.client.host)
    if principal is None:
        raise Invalid.of([Problem("/key", "opens_nothing", "it is mistyped, revoked or expired.")])
    secure = request.headers.get("origin", "").startswith("https:")
    response.set_cookie(COOKIE, key, httponly=True, samesite="strict", secure=secure, path=_cookie_path(runtime))
    soon = expires_soon(principal.key_expires_at)
    return Me.of(principal, level=principal.level.word, key_expires_soon=soon)


@router.delete("", operation_id="sign_out")
def sign_out(response: Response, runtime: RuntimeDep) -> SignedOut:
    """Forget the key in this browser; the key itself stays valid."""
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", path=_cookie_path(runtime))
    return SignedOut()


def _cookie_path(runtime: Runtime) -> str:
    """Return the cookie's path: not sent to other services on the same host."""
    return runtime.settings.root_path or "/"
