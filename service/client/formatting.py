"""Numbers, sizes, durations and the fields of a JSON Schema for people."""

import json
from datetime import UTC, datetime
from typing import Any

from service.client.errors import SIGNS

BOUNDS = {"exclusiveMinimum": "gt", "minimum": "ge", "exclusiveMaximum": "lt", "maximum": "le"}
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


def first_line(text: str) -> str:
    """Return the first line of a summary."""
    return text.strip().partition("\n")[0]


def default_text(name: str, schema: dict[str, Any], required: list[str]) -> str:
    """Return a field's default as JSON, or that it has none."""
    return "(required)" if name in required else json.dumps(schema.get("default"))


def allowed_text(schema: dict[str, Any]) -> str:
    """Return a field's type, range or choices, in short."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(allowed_text(each) for each in schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return ", ".join(json.dumps(each) for each in schema.get("enum", [schema.get("const")]))
    bounds = [f"{SIGNS[sign]} {schema[name]:g}" for name, sign in BOUNDS.items() if name in schema]
    kind = schema.get("type") or str(schema.get("$ref", "object")).rpartition("/")[2]
    return " ".join([str(kind), ", ".join(bounds)]).strip()
