"""How an attempt to send a message ended."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """What the receiver said, or why it said nothing."""

    delivered: bool
    status: int | None = None  # of HTTP, or the code of a mail server
    detail: str | None = None
    gone: bool = False  # it asks not to be tried again


SHOWN = 500  # characters of an answer


def printable(text: str) -> str:
    """Return the beginning of what a stranger answered, without control characters."""
    return "".join(c if c.isprintable() else " " for c in text[:SHOWN]).strip()
