"""Who makes a request."""

from dataclasses import dataclass
from datetime import datetime

from service.levels import Level, effective_level


@dataclass(frozen=True)
class Principal:
    """The authenticated caller; every query is restricted to its project."""

    key_id: str
    member_id: str
    member: str
    project_id: str
    project: str
    role: str
    account_id: str = ""
    scope: str = "admin"
    server_admin: bool = False
    key_expires_at: datetime | None = None
    address: str | None = None  # where the request came from, for the audit
    request_id: str | None = None

    @property
    def level(self) -> Level:
        """What this request may do."""
        return effective_level(self.role, self.scope, self.server_admin)
