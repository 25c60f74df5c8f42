"""What the methods of every noun are made of."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from service.client.http import Http, Json


class NounClient:
    """A part of `Client`."""

    http: Http

    def _create(
        self, path: str, body: Json, query: Mapping[str, str] | None = None, idempotency_key: str | None = None
    ) -> Any:
        """Post what creates something, with a key so that it is created once however often the request is sent."""
        return self.http.post(path, body, query, idempotency_key or secrets.token_hex(16))

    def _items(self, path: str) -> list[Json]:
        return list(self.http.get(path)["items"])
