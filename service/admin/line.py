"""A line of the doctor's table."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]
WORST: dict[Status, int] = {"ok": 0, "warn": 1, "fail": 2}


@dataclass(frozen=True)
class Line:
    """What was looked at and found; `fix` where something is not well."""

    part: str
    status: Status
    found: str
    fix: str = ""
