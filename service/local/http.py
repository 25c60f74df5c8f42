"""A minimal HTTP client for the API of a local start, with the standard library only."""

import json
import urllib.error
import urllib.request
from typing import Any

Json = Any  # a document whose shape the caller knows

# The API is on loopback, where a proxy from the environment must not be used.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class ApiError(Exception):
    """The API answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def call(method: str, url: str, key: str | None = None, body: Json = None, timeout: float = 10.0) -> Json:
    """Return the JSON answer to a request; raise `ApiError` for an error status, OSError without an answer."""
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310  # our own http address
    try:
        with _direct.open(request, timeout=timeout) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            raise ApiError(error.code, error_message(error.read())) from None
    return json.loads(text) if text else None


def error_message(body: bytes) -> str:
    """Return the detail and the problems of an `application/problem+json` document, or the body itself."""
    try:
        problem = json.loads(body)
        parts = [problem.get("detail") or problem.get("title") or ""]
        parts += [f"{each.get('pointer', '')}: {each.get('detail', '')}" for each in problem.get("errors", [])]
    except (ValueError, AttributeError):
        return body.decode(errors="replace")[:500]
    return "; ".join(part for part in parts if part)


def is_ready(url: str) -> bool:
    """Whether the API reports that it is ready."""
    try:
        call("GET", f"{url}/v1/readyz", timeout=2.0)
    except (ApiError, OSError, ValueError):
        return False
    return True


def accepts_key(url: str, key: str) -> bool:
    """Return False only if the API answers that it does not know the key."""
    try:
        call("GET", f"{url}/v1/experiments?limit=1", key)
    except ApiError as error:
        return error.status != 401
    except (OSError, ValueError):
        return True
    return True


def count_workers(url: str, key: str) -> int:
    """Return how many workers are registered; 0 if the API does not answer."""
    try:
        found = call("GET", f"{url}/v1/workers", key, timeout=2.0)["items"]
    except (ApiError, OSError, ValueError, KeyError):
        return 0
    return sum(worker["state"] != "gone" for worker in found)
