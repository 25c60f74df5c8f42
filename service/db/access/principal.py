"""Who makes a request."""

from dataclasses import dataclass
from datetime import datetime

from service.levels import Level, effective_level

Access = tuple[str, str]  # a credential, and the member that it was used as


@dataclass(frozen=True)
class Principal:
    """The authenticated caller; every query is restricted to its project."""

    key_id: str  # empty: signed in without one
    member_id: str
    member: str
    project_id: str  # empty: in no project
    project: str
    role: str
    account_id: str = ""
    scope: str = "admin"
    server_admin: bool = False
    key_expires_at: datetime | None = None
    only_reads: bool = False  # a request that changes nothing sees what other projects share, too
    address: str | None = None  # where the request came from, for the audit
    request_id: str | None = None
    trace: str | None = None  # the request's trace context, as a W3C traceparent
    session_id: str = ""  # of a browser; a session that a key began has both

    @property
    def credential(self) -> str:
        """The id of what was shown: a session or a key."""
        return self.session_id or self.key_id

    @property
    def access(self) -> "Access":
        """What must stay open while a stream is read."""
        return self.credential, self.member_id

    @property
    def level(self) -> Level:
        """What this request may do."""
        return effective_level(self.role, self.scope, self.server_admin)
