"""Rows that nothing needs any more, by kind: counted or deleted by whoever owns the tables."""

from sqlalchemy import Connection, text

from service.db.runs import turns

GONE_WORKER = "state = 'gone' AND beat_at < clock_timestamp() - interval '30 days'"
OLD = {
    "sessions that ended over 90 days ago": (
        "session",
        "coalesce(ended_at, seen_at) < clock_timestamp() - interval '90 days'",
    ),
    "invitations that were used, revoked or expired over 90 days ago": (
        "invitation",
        "least(used_at, revoked_at, expires_at) < clock_timestamp() - interval '90 days'",
    ),
    "failed sign-ins of over a day ago": (
        "sign_in_failure",
        "last_at < clock_timestamp() - interval '1 day'",
    ),
    "workers that left over 30 days ago": ("worker", f"{GONE_WORKER} AND drain_since IS NULL"),
    "use of devices that has decayed": (
        "device_use",
        f"seconds * {turns.decay('at')} < {turns.NEGLIGIBLE_S}",
    ),
}
AUDIT = ("audit", "at < clock_timestamp() - make_interval(days => :audit_days)")


def _chosen(audit_days: int | None) -> dict[str, tuple[str, str]]:
    return OLD if audit_days is None else OLD | {f"rows of the audit of over {audit_days} days ago": AUDIT}


def count_old(connection: Connection, audit_days: int | None) -> dict[str, int]:
    """Return how many rows of each kind are past their time."""
    given = {"audit_days": audit_days, **turns.parameters(connection)}
    found = {}
    for what, (table, condition) in _chosen(audit_days).items():
        statement = text(f"SELECT count(*) FROM {table} WHERE {condition}")  # noqa: S608  of this file
        found[what] = connection.execute(statement, given).scalar_one()
    return found


def delete_old(connection: Connection, audit_days: int | None) -> dict[str, int]:
    """Delete them; return how many of each kind."""
    given = {"audit_days": audit_days, **turns.parameters(connection)}
    found = {}
    for what, (table, condition) in _chosen(audit_days).items():
        statement = text(f"DELETE FROM {table} WHERE {condition}")  # noqa: S608  of this file
        found[what] = connection.execute(statement, given).rowcount
    return found
