"""Waiting for what becomes true."""

import time
from collections.abc import Callable
from typing import Any

PATIENCE_S = 240.0  # for what must become true; how soon is asserted where it matters


def until(condition: Callable[[], Any], seconds: float = PATIENCE_S, pause_s: float = 0.02) -> Any:
    """Return the first true value of `condition`; raise AssertionError after `seconds`."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(pause_s)
    return value
