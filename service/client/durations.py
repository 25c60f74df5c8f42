"""Durations in one unit."""

from datetime import UTC, datetime

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def age(when: datetime | None) -> str:
    """Return how long ago it was."""
    return "-" if when is None else duration((datetime.now(UTC) - when).total_seconds())


def duration(seconds: float) -> str:
    """Return the seconds in the largest unit that fits."""
    for size, unit in UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return "0 s"
