"""The little HTTP a local start needs: JSON to and from its own API, standard library only."""

import json
import urllib.error
import urllib.request
from typing import Any

Json = Any  # a document whose shape the caller knows

# The API is on loopback: a proxy from the environment must not be asked for it.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Refused(Exception):  # reads as a fact, like the rest of our errors
    """The API answered with an error; `status` and its own words."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


def call(method: str, url: str, key: str | None = None, body: Json = None, timeout: float = 10.0) -> Json:
    """The JSON answer to one request; Refused for an error of the API, OSError when nobody answers."""
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
            raise Refused(error.code, words_of(error.read())) from None
    return json.loads(text) if text else None


def words_of(body: bytes) -> str:
    """The detail and the problems of an `application/problem+json` document, else the body itself."""
    try:
        problem = json.loads(body)
        parts = [problem.get("detail") or problem.get("title") or ""]
        parts += [f"{each.get('pointer', '')}: {each.get('detail', '')}" for each in problem.get("errors", [])]
    except (ValueError, AttributeError):
        return body.decode(errors="replace")[:500]
    return "; ".join(part for part in parts if part)


def ready(url: str) -> bool:
    """Whether the API says that it can serve."""
    try:
        call("GET", f"{url}/v1/readyz", timeout=2.0)
    except (Refused, OSError, ValueError):
        return False
    return True


def accepted(url: str, key: str) -> bool:
    """False only if the API says that it does not know the key."""
    try:
        call("GET", f"{url}/v1/experiments?limit=1", key)
    except Refused as refusal:
        return refusal.status != 401
    except (OSError, ValueError):
        return True
    return True


def workers(url: str, key: str) -> int:
    """Return how many workers are there; 0 where that cannot be told."""
    try:
        found = call("GET", f"{url}/v1/workers", key, timeout=2.0)["items"]
    except (Refused, OSError, ValueError, KeyError):
        return 0
    return sum(worker["state"] != "gone" for worker in found)
