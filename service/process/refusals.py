"""Refused requests, counted by who sent them, until they are written to the audit: a flood becomes one row a minute."""

import threading
from collections.abc import Mapping
from typing import Any

from service.db.access import audit
from service.db.access.principal import Principal

MAX_ACTORS = 1000  # told apart until the next writing
SIGN_IN = ("POST", "/v1/session")


def is_refusal(method: str, path: str, status: int) -> bool:
    """Return whether an answer refuses somebody: without a valid key, without the right, or at signing in."""
    return status in (401, 403) or ((method, path) == SIGN_IN and 400 <= status < 500)


class Refusals:
    """The refusals since the last writing, at most a row for each actor."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def note(self, state: Mapping[str, Any], method: str, path: str, status: int, address: str | None) -> None:
        """Count a refusal. Of the path only its beginning is kept: the rest may be somebody's secret."""
        principal: Principal | None = state.get("principal")
        actor = (principal.member_id or principal.account_id) if principal else address or ""
        with self._lock:
            if actor not in self._rows and len(self._rows) >= MAX_ACTORS:
                principal, address, actor = None, None, "others"
            row = self._rows.get(actor)
            if row is None:
                by = audit.by(principal) if principal else audit.by_nobody(address, state.get("request_id"))
                told = {"status": status, "method": method, "path": "/".join(path.split("/")[:3])[:100], "times": 0}
                row = self._rows[actor] = {**by, "action": "request.refused", "target": None, "data": told}
            row["data"]["times"] += 1

    def take(self) -> list[dict[str, Any]]:
        """Return the rows since the last call."""
        with self._lock:
            rows, self._rows = self._rows, {}
        return list(rows.values())
