"""Waiting for what becomes true."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 240.0  # for what must become true; how soon is asserted where it matters
FIRST_PAUSE_S, LONGEST_PAUSE_S, GROWTH = 0.02, 0.1, 1.1  # between two looks


def until(condition: Callable[[], Any], seconds: float = PATIENCE_S, pause_s: float = FIRST_PAUSE_S) -> Any:
    """Return the first true value of `condition`; raise AssertionError after `seconds`.

    It looks more rarely the longer it waits: a condition that asks a server takes processor time of what it waits for.
    """
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(pause_s)
        pause_s = min(pause_s * GROWTH, max(pause_s, LONGEST_PAUSE_S))
    return value
