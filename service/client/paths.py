"""Parts of paths and queries."""

from service.client.errors import Unusable


def flag(value: bool) -> str | None:
    """Return a query parameter that is left out when false."""
    return "true" if value else None


def part(text: str) -> str:
    """Return an id or name as a part of a path, or raise `Unusable` if it could lead elsewhere."""
    if not text or any(not (c.isascii() and (c.isalnum() or c in "_-.")) for c in text) or text in (".", ".."):
        raise Unusable(f"{text!r} is no id or name of Saddle's")
    return text
