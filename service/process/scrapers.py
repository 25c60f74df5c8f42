"""Who may read the metrics while the database, which knows the keys, is away: whoever did so shortly before."""

import hashlib
import time
from datetime import UTC, datetime

from service.db.access.principal import Principal

KEPT_S = 3600.0
MOST = 100  # the oldest are forgotten


class Scrapers:
    """Principals by a digest of what they showed."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, Principal]] = {}

    def remember(self, shown: str, principal: Principal) -> None:
        """Note that these credentials were good just now."""
        self._known.pop(_digest(shown), None)
        self._known[_digest(shown)] = time.monotonic(), principal
        if len(self._known) > MOST:
            del self._known[next(iter(self._known))]

    def forget(self, shown: str) -> None:
        """Note that they are good no longer."""
        self._known.pop(_digest(shown), None)

    def find(self, shown: str) -> Principal | None:
        """Return whose they were within the last hour."""
        at, principal = self._known.get(_digest(shown), (float("-inf"), None))
        if principal is None or time.monotonic() - at > KEPT_S:
            return None
        ends = principal.key_expires_at
        return principal if ends is None or ends > datetime.now(UTC) else None


def _digest(shown: str) -> str:
    return hashlib.blake2b(shown.encode(), digest_size=16).hexdigest()
