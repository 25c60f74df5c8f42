"""Requests to one server: JSON both ways, repeated where that is safe, every error as a `ClientError`."""

import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import httpx2 as httpx

from service.client.address import Address
from service.client.encoding import encode
from service.client.errors import Refused, Unreachable

Json = dict[str, Any]
Query = Mapping[str, str | int | float | bool | None]
TIMEOUT = httpx.Timeout(60.0, connect=5.0)
STREAM_TIMEOUT = httpx.Timeout(35.0, connect=5.0)  # between two lines: a live stream has a heartbeat every 10 s
MAX_TRIES = 4
PAGE_SIZE = 200
BUSY = (429, 502, 503, 504)  # worth another try
FIRST_WAIT_S, MAX_WAIT_S = 0.2, 5.0


class Http:
    """A persistent connection to one server; redirects are never followed, so the key goes nowhere else."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.key_expires: str | None = None  # RFC 3339, once an answer has said that it is soon
        self._client = httpx.Client(
            base_url=address.url,
            headers={"Authorization": f"Bearer {address.key}", "User-Agent": "saddle-client"},
            timeout=TIMEOUT,
            trust_env=not address.local,
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def get(self, path: str, query: Query | None = None) -> Any:
        """Return the document at `path`."""
        return _document(self._send("GET", path, query=query, repeatable=True))

    def pages(self, path: str, limit: int, query: Mapping[str, str | None] | None = None) -> Iterator[Json]:
        """Yield the items of a list, at most `limit`, page by page."""
        cursor: str | None = None
        while limit > 0:
            page = self.get(path, {**(query or {}), "limit": min(limit, PAGE_SIZE), "cursor": cursor})
            yield from page["items"]
            limit -= len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def text(self, path: str, media: str = "text/plain") -> str:
        """Return a text form of `path`: plain, or of another media type."""
        answer = self._send("GET", path, headers={"Accept": media}, repeatable=True)
        if not answer.is_success:
            raise _refusal(answer)
        return answer.text

    def post(self, path: str, body: Any = None, query: Query | None = None, idempotency_key: str | None = None) -> Any:
        """Post a document and return the answer; with an idempotency key, repeat the request if the answer is lost."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        content = None if body is None else encode(body)
        if content is not None:
            headers["Content-Type"] = "application/json"
        repeatable = idempotency_key is not None
        return _document(self._send("POST", path, query=query, content=content, headers=headers, repeatable=repeatable))

    def patch(self, path: str, body: Any, if_match: str | None = None) -> Any:
        """Patch a document and return the answer; repeated unless it depends on the former state (`if_match`)."""
        headers = {"Content-Type": "application/json"} | ({"If-Match": if_match} if if_match else {})
        repeatable = if_match is None
        return _document(self._send("PATCH", path, content=encode(body), headers=headers, repeatable=repeatable))

    def put(self, path: str, body: Any, query: Query | None = None) -> Any:
        """Put a document in its place and return the answer; repeating it changes nothing."""
        headers = {"Content-Type": "application/json"}
        return _document(self._send("PUT", path, query=query, content=encode(body), headers=headers, repeatable=True))

    def delete(self, path: str, query: Query | None = None) -> None:
        """Delete what is at `path`; never repeated, because the second answer would be 404."""
        answer = self._send("DELETE", path, query=query, repeatable=False)
        if not answer.is_success:
            raise _refusal(answer)

    def put_file(self, path: str, file: BinaryIO, query: Query) -> Any:
        """Stream a file as the body and return the answer."""
        return _document(self._send("POST", path, query=query, content=file, headers=_BYTES, repeatable=False))

    @contextmanager
    def stream(
        self, path: str, query: Query | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx.Response]:
        """Open an answer that is read piece by piece."""
        try:
            with self._client.stream(
                "GET", path, params=_without_none(query), headers=dict(headers or {}), timeout=STREAM_TIMEOUT
            ) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise _refusal(answer)
                yield answer
        except httpx.RequestError as error:
            raise self._unreachable(error) from error

    def _send(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool,
        query: Query | None = None,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Return one answer; `repeatable`: the same request may arrive twice."""
        for attempt in range(MAX_TRIES):
            last = attempt == MAX_TRIES - 1
            try:
                answer = self._client.request(
                    method, path, params=_without_none(query), content=content, headers=dict(headers or {})
                )
            except httpx.RequestError as error:
                unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) and isinstance(
                    content, bytes | None
                )
                if last or not (repeatable or unsent):
                    raise self._unreachable(error) from error
                time.sleep(wait_s(attempt))
                continue
            self.key_expires = answer.headers.get("Saddle-Key-Expires", self.key_expires)
            if answer.status_code not in BUSY or not repeatable or last:
                return answer
            time.sleep(wait_s(attempt, answer.headers.get("Retry-After")))
        raise AssertionError("the last try returns or raises")

    def _unreachable(self, error: httpx.RequestError) -> Unreachable:
        words = str(error) or type(error).__name__
        return Unreachable(f"{self.address.url} does not answer ({words})")


_BYTES = {"Content-Type": "application/octet-stream"}


def wait_s(attempt: int, retry_after: str | None = None) -> float:
    """Return seconds before the next try: what the server asked for, else doubling, with jitter."""
    if retry_after and retry_after.isascii() and retry_after.isdecimal():
        return min(float(retry_after[:6]), MAX_WAIT_S)
    longest = min(FIRST_WAIT_S * 2.0**attempt, MAX_WAIT_S)
    return longest * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load, guards nothing


def _without_none(query: Query | None) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _document(answer: httpx.Response) -> Any:
    """Return the JSON of a good answer; raise `Refused` for a problem document, `Unreachable` for anything else."""
    if not answer.is_success:
        raise _refusal(answer)
    try:
        return answer.json()
    except ValueError:
        raise Unreachable(f"{answer.url.host} answers with something that is not Saddle's: check SADDLE_URL") from None


def _refusal(answer: httpx.Response) -> Refused | Unreachable:
    kind = answer.headers.get("Content-Type", "").partition(";")[0]
    try:
        document = answer.json() if kind == "application/problem+json" else None
    except ValueError:
        document = None
    if not isinstance(document, dict):
        host, status = answer.url.host, answer.status_code
        return Unreachable(f"{host} answers {status} without Saddle's reason: check SADDLE_URL, or a proxy in between")
    if answer.status_code in BUSY[1:]:
        return Unreachable(str(document.get("detail") or "the server cannot serve right now"))
    return Refused(answer.status_code, document)
