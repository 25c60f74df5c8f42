"""Positions of readers: up to which event and step, or which event of a project, a reader knows everything."""

import re
from typing import NamedTuple


class RunPosition(NamedTuple):
    """Events up to this id and points up to this step are known: "<event id>.<step>"."""

    event: int = 0
    step: int = 0

    def __str__(self) -> str:
        return f"{self.event}.{self.step}"

    @classmethod
    def parse(cls, text: str) -> "RunPosition | None":
        """Return the position, or None if the text is not one of ours."""
        return None if (numbers := _two_numbers(text)) is None else cls(*numbers)


class ProjectPosition(NamedTuple):
    """Events of earlier transactions, and of this one up to this event, are known: "<transaction>.<event id>"."""

    xid: int = 0
    event: int = 0

    def __str__(self) -> str:
        return f"{self.xid}.{self.event}"

    @classmethod
    def parse(cls, text: str) -> "ProjectPosition | None":
        """Return the position, or None if the text is not one of ours."""
        return None if (numbers := _two_numbers(text)) is None else cls(*numbers)


def _two_numbers(text: str) -> tuple[int, int] | None:
    found = re.fullmatch(r"(\d{1,18})\.(\d{1,18})", text, re.ASCII)
    return (int(found[1]), int(found[2])) if found else None
