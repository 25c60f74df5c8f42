"""How a message of a stream is written, and the position of a project's reader."""

import re
from typing import Any, NamedTuple

from service.nonfinite import dumps


class ProjectPosition(NamedTuple):
    """Everything up to this transaction, and of this one up to this event, is known: "<transaction>.<event id>"."""

    xid: int = 0
    event: int = 0

    def __str__(self) -> str:
        return f"{self.xid}.{self.event}"

    @classmethod
    def parse(cls, text: str) -> "ProjectPosition | None":
        """None where it is no position of ours."""
        found = re.fullmatch(r"(\d{1,18})\.(\d{1,18})", text, re.ASCII)
        return cls(int(found[1]), int(found[2])) if found else None


def written(kind: str, data: dict[str, Any], position: object) -> str:
    """As the HTML standard writes a message; JSON has no line breaks."""
    return f"id: {position}\nevent: {kind}\ndata: {dumps(data)}\n\n"
