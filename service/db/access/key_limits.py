"""Limits of a key: runs that it queues, and seconds of a device that they train, in a day (UTC).

They hold beside the quotas of its person and project, so that a program left alone with a key uses no more than it was
given. A study's trials count for the key that posted it. A key with limits makes no other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, text

from service.errors import Problem, QuotaExceeded

DAY = "date_trunc('day', clock_timestamp(), 'UTC')"
# devices of a run `r`
DEVICES = """
    (SELECT coalesce(max(cast(substr(need, 9) AS integer)), 1) AS devices
        FROM unnest(r.needs) need WHERE need LIKE 'devices=%')
"""
SPENT = f"""
    (SELECT coalesce(sum(d.devices * extract(epoch
            FROM coalesce(a.ended_at, clock_timestamp()) - greatest(a.started_at, {DAY}))), 0)::float8
        FROM run r JOIN attempt a ON a.run_id = r.id CROSS JOIN LATERAL {DEVICES} d
        WHERE r.key_id = k.id AND coalesce(r.finished_at, {DAY}) >= {DAY}
            AND coalesce(a.ended_at, clock_timestamp()) > {DAY})
"""  # noqa: S608  of a key `k`; no value is in it
USED = text(
    f"""
    SELECT (SELECT count(*) FROM run r WHERE r.key_id = k.id AND r.created_at >= {DAY}) AS runs, {SPENT} AS device_s
    FROM api_key k WHERE k.id = :key_id
    """  # noqa: S608  likewise
)
ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended(:key_id, 3))")
HOLD = text(
    f"""
    WITH used_up AS MATERIALIZED (
        SELECT k.id FROM api_key k WHERE k.device_s_per_day IS NOT NULL
            AND EXISTS (SELECT FROM run w WHERE w.key_id = k.id AND w.state = 'queued')
            AND {SPENT} >= k.device_s_per_day)
    UPDATE run SET not_before = {DAY} + interval '1 day' FROM used_up
    WHERE run.key_id = used_up.id AND run.state = 'queued' AND run.not_before < {DAY} + interval '1 day'
    """  # noqa: S608  likewise
)
LIMITS: Mapping[str, tuple[str, str]] = {  # name -> what is counted, and its unit
    "runs_per_day": ("runs queued in a day (UTC)", "runs"),
    "device_s_per_day": ("seconds of a device in a day (UTC)", "seconds"),
}

NO_LIMITS: Mapping[str, float] = {}


@dataclass(frozen=True)
class KeyLimits:
    """What a key may use in a day; None is no limit."""

    key_id: str
    runs_per_day: int | None
    device_s_per_day: float | None

    @property
    def given(self) -> dict[str, float]:
        """The limits that there are, by name."""
        found = {name: getattr(self, name) for name in LIMITS}
        return {name: value for name, value in found.items() if value is not None}


def used(connection: Connection, limits: KeyLimits) -> dict[str, float]:
    """Return what the key has used today, by name of the limit."""
    row = connection.execute(USED, {"key_id": limits.key_id}).one()
    return {"runs_per_day": row.runs, "device_s_per_day": row.device_s}


def admit(connection: Connection, limits: KeyLimits, runs: int) -> None:
    """Raise `QuotaExceeded` where the key may not queue so many more runs today; one request after the other."""
    if not limits.given:
        return
    connection.execute(ALONE, {"key_id": limits.key_id})
    problems = list(_problems(limits, used(connection, limits), runs))
    if problems:
        raise QuotaExceeded(problems[0].detail, problems)


def _problems(limits: KeyLimits, spent: Mapping[str, float], runs: int) -> Iterator[Problem]:
    for name, limit in limits.given.items():
        asked = runs if name == "runs_per_day" else 0
        if spent[name] + asked > limit or spent[name] >= limit:
            what, _ = LIMITS[name]
            more = f", and this asks for {asked} more" if asked else ""
            detail = (
                f"The key {limits.key_id} has a limit of {limit:,g} {what}; {spent[name]:,.0f} are used{more}: "
                "wait for tomorrow, or ask whoever made the key for one with a higher limit."
            )
            told = {"quota": name, "of": "key", "limit": limit, "used": round(spent[name], 3), "asked": asked}
            yield Problem(f"/quotas/key/{name}", "quota_exceeded", detail, told)


def hold_used_up(connection: Connection) -> None:
    """Keep what waits for keys whose device time of today is used up from starting before tomorrow."""
    connection.execute(HOLD)
