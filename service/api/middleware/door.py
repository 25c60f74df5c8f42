"""The door: rates of requests for each key and address, and no more requests at once than are answered in time.

It looks at no database. A key or session is counted by what the request shows, before anybody has checked that it is
good: nobody else can show it, and who shows many wrong ones is counted by address.
"""

import hashlib
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.problems import problem_response
from service.errors import Overloaded, RateLimited, SaddleError
from service.process.admission import Admission
from service.process.request_rates import BURST_S, Standing
from service.process.runtime import Runtime
from service.process.senders import network_of

ALWAYS = {("GET", "/v1/livez"), ("GET", "/v1/readyz"), ("DELETE", "/v1/session")}
STREAMS = "/events"  # they have a budget of their own; many come at once after a restart, and browsers ask only once
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Door:
    """Refuses what comes too fast (429) or would be answered too late (503); health checks and sign-out pass."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request, or refuse it."""
        if scope["type"] != "http" or (scope["method"], scope["path"]) in ALWAYS:
            return await self.app(scope, receive, send)
        runtime: Runtime = scope["state"]["runtime"]
        sender, shown = network_of((scope.get("client") or ("",))[0]), _shown(Headers(scope=scope))
        count = _count(runtime, sender, shown)
        refusal: SaddleError | None = None
        if not count.standing.allowed:
            refusal = count.refusal
        elif scope["path"].endswith(STREAMS):
            return await self.app(scope, receive, send)
        elif not runtime.admission.admits(shown or sender, scope["method"] not in SAFE_METHODS):
            refusal = Overloaded("More requests have come than can be answered soon: try again in a moment.")
        if refusal:
            runtime.shed[refusal.code] += 1
            response = problem_response(refusal, scope["state"]["request_id"], count.headers)
            return await response(scope, receive, send)
        visit = Visit(runtime.admission, shown or sender, count.headers, receive, send)
        scope["state"]["visit"] = visit
        try:
            await self.app(scope, visit.receive, visit.send)
        finally:
            visit.leave()
        return None


class Visit:
    """One request: whether the server works for it at the moment."""

    def __init__(self, admission: Admission, who: str, told: dict[str, str], receive: Receive, send: Send) -> None:
        self._admission, self._who, self._told = admission, who, told
        self._receive, self._send = receive, send
        self._inside, self._body_over = False, False
        self._enter()

    def _enter(self) -> None:
        if not self._inside:
            self._inside = True
            self._admission.enter(self._who)

    def leave(self) -> None:
        """Stop counting the request."""
        if self._inside:
            self._inside = False
            self._admission.leave(self._who)

    @contextmanager
    def outside(self) -> Iterator[None]:
        """Do not count the request: another process works for it."""
        self.leave()
        try:
            yield
        finally:
            self._enter()

    async def receive(self) -> Message:
        """Return the next part of the body; the request does not count while it is awaited."""
        if self._body_over:
            return await self._receive()
        self.leave()
        try:
            message = await self._receive()
        finally:
            self._enter()
        self._body_over = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the response; the request does not count while the client takes it."""
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(self._told)
        self.leave()
        await self._send(message)
        self._enter()


@dataclass(frozen=True)
class _Count:
    """What one limit says about a request, in the words of draft-ietf-httpapi-ratelimit-headers-10."""

    policy: str
    burst: int
    standing: Standing

    @property
    def headers(self) -> dict[str, str]:
        """The limit, and what is left of it."""
        left = self.standing
        wait_s = left.reset_s if left.remaining else left.wait_s
        return {
            "RateLimit-Policy": f'"{self.policy}";q={self.burst};w={BURST_S}',
            "RateLimit": f'"{self.policy}";r={left.remaining};t={math.ceil(wait_s)}',
        }

    @property
    def refusal(self) -> SaddleError:
        """The limit in words, and when to try again."""
        whose = "A key or session" if self.policy == "key" else "An address, or a network of 64 bits of IPv6,"
        setting = f"SADDLE_REQUESTS_PER_{self.policy.upper()}"
        detail = f"{whose} may send {self.burst} requests in {BURST_S} s: ask less often, or raise {setting}."
        return RateLimited(detail, retry_after_s=self.standing.wait_s)


def _count(runtime: Runtime, sender: str, shown: str) -> _Count:
    """Count a request by its sender, then by the key or session it shows; return the count that decides."""
    now = time.monotonic()
    by_address = _Count("address", runtime.address_rates.burst, runtime.address_rates.take(sender, now))
    if not shown or not by_address.standing.allowed:
        return by_address
    return _Count("key", runtime.key_rates.burst, runtime.key_rates.take(shown, now))


def _shown(headers: Headers) -> str:
    """Return a digest of the key or session that a request shows; empty if it shows none."""
    text = headers.get("authorization") or headers.get("cookie")
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest() if text else ""
