"""Errors: each class has a stable code and an HTTP status; `service.api.problems` turns them into responses.

`Fenced` and `RunFailure` concern workers and are never sent; all other classes become responses.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a document: where (RFC 6901 pointer), what, and what would be right."""

    pointer: str
    code: str
    detail: str
    limit: Any = None
    did_you_mean: str | None = None
    column: int | None = None  # of a filter, from 1

    def under(self, prefix: str) -> "Problem":
        """Return the same problem as seen from the document that holds this one at `prefix`."""
        return Problem(prefix + self.pointer, self.code, self.detail, self.limit, self.did_you_mean, self.column)

    def as_json(self) -> dict[str, Any]:
        """Return the problem as sent, without the keys that have no value."""
        return {key: value for key, value in asdict(self).items() if value is not None}


class SaddleError(Exception):
    """Base of everything Saddle raises on purpose."""

    code: ClassVar[str] = "internal"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "The server failed"

    def __init__(self, detail: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.problems = tuple(problems)


class Invalid(SaddleError):
    """A well-formed document that breaks rules."""

    code, status, title = "invalid", 422, "The document breaks rules"

    @classmethod
    def of(cls, problems: Sequence[Problem]) -> "Invalid":
        """Return an error with all `problems` (at least one)."""
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        return cls(f"{count}; see errors.", problems)


class Malformed(SaddleError):
    """A body that is not acceptable JSON."""

    code, status, title = "malformed", 400, "The body is not acceptable JSON"


class Unauthorized(SaddleError):
    """No key, or one that is unknown, expired or revoked."""

    code, status, title = "unauthorized", 401, "A valid API key is needed"


class Forbidden(SaddleError):
    """The key is good but may not do this."""

    code, status, title = "forbidden", 403, "Not allowed"


class NotFound(SaddleError):
    """It does not exist, or this key may not see it."""

    code, status, title = "not_found", 404, "Not found"


class Conflict(SaddleError):
    """The state of the resource does not allow the request."""

    code, status, title = "conflict", 409, "The state does not allow this"


class ComponentMissing(SaddleError):
    """A stored spec uses a component of a plug-in that is not installed here, or not in the version of the spec."""

    code, status, title = "component_missing", 409, "A part of the spec is not installed"


class QuotaExceeded(SaddleError):
    """The request would exceed a quota of the project or the person."""

    code, status, title = "quota_exceeded", 409, "A quota is used up"


class PreconditionFailed(SaddleError):
    """The resource changed since the client read it."""

    code, status, title = "precondition_failed", 412, "Changed in the meantime"

    def __init__(self, detail: str, etag: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(detail, problems)
        self.etag = etag  # of the current state


class TooLarge(SaddleError):
    """The body is longer than the limit."""

    code, status, title = "too_large", 413, "Too large"


class UnsupportedMedia(SaddleError):
    """The body has a media type or content coding that is not supported."""

    code, status, title = "unsupported_media", 415, "The media type or coding is not supported"


class NotAcceptable(SaddleError):
    """The answer is not available in any media type that the client accepts."""

    code, status, title = "not_acceptable", 406, "Not available in that media type"


class MethodNotAllowed(SaddleError):
    """The path exists but does not support this method."""

    code, status, title = "method_not_allowed", 405, "Method not allowed"


class Misdirected(SaddleError):
    """The Host header does not name this server: DNS rebinding, or a proxy that is not configured."""

    code, status, title = "misdirected", 421, "This server does not answer to that name"


class TooMany(SaddleError):
    """One key has too many requests open at once, or one address sends too many; it says when to try again."""

    code, status, title = "too_many", 429, "Too many at once"

    def __init__(self, detail: str, problems: Sequence[Problem] = (), retry_after_s: float | None = None) -> None:
        super().__init__(detail, problems)
        self.retry_after_s = retry_after_s


class WrongKeys(TooMany):
    """Too many wrong keys came from one address."""

    code, title = "wrong_keys", "Too many wrong keys"


class RateLimited(TooMany):
    """More requests a second than one key or address may send."""

    code, title = "rate_limited", "Too many requests"


class SignInSlowed(TooMany):
    """Too many sign-ins from one address failed."""

    code, title = "sign_in_slowed", "Too many failed sign-ins"


class TooManyUploads(TooMany):
    """One person or project has too many unfinished uploads, or too large ones."""

    code, title = "too_many_uploads", "Too many uploads at once"


class TooSlow(SaddleError):
    """The body arrives more slowly than the server waits for it."""

    code, status, title = "too_slow", 408, "The body arrives too slowly"


class Unavailable(SaddleError):
    """A service that this one needs does not answer; trying again may help."""

    code, status, title = "unavailable", 503, "Not available right now"


class Overloaded(Unavailable):
    """More requests at once than can be answered in time."""

    code = "overloaded"


class DiskReserved(Unavailable):
    """The server's disk has only its reserve left."""

    code = "disk_reserve"


class DatabaseLocked(Unavailable):
    """A lock was not granted in time, or two transactions conflicted."""

    code = "database_locked"


class DatabaseSlow(Unavailable):
    """A statement took longer than its limit."""

    code = "database_slow"


class DatabaseBusy(Unavailable):
    """Every connection is in use, here or in the database."""

    code = "database_busy"


class DatabaseReadOnly(Unavailable):
    """The database accepts no writes: it is a standby or under maintenance."""

    code = "database_read_only"


class DatabaseFull(Unavailable):
    """The database has no space left."""

    code = "database_full"


class SchemaMismatch(SaddleError):
    """The database does not have the schema that this program expects."""

    code, status, title = "schema_mismatch", 503, "The database needs its migration"


class Fenced(SaddleError):
    """The lease is lost: another attempt owns the run, so nothing more may be written."""

    code = "fenced"


class RunFailure(SaddleError):
    """Why a training failed; stored with the run."""

    code = "run_failure"

    def __init__(self, kind: str, detail: str, step: int | None = None, evidence: dict[str, Any] | None = None):
        super().__init__(detail)
        self.kind, self.step, self.evidence = kind, step, evidence or {}
