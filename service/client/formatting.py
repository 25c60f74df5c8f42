"""Numbers, sizes and durations for people."""

from datetime import UTC, datetime

UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def number(value: float | None, digits: int = 4) -> str:
    """Return significant digits, or a dash for None."""
    return "-" if value is None else f"{value:.{digits}g}"


def size(count: float | None) -> str:
    """Return a number of bytes in the unit that fits, or a dash for None."""
    if count is None:
        return "-"
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count:.0f} B"


def duration(seconds: float) -> str:
    """Return the seconds in the largest unit that fits."""
    return next((f"{int(seconds // length)} {unit}" for length, unit in UNITS if seconds >= length), "0 s")


def age(when: datetime | None) -> str:
    """Return how long ago it was, or a dash for None."""
    return "-" if when is None else duration((datetime.now(UTC) - when).total_seconds())
