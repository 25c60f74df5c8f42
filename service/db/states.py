"""Run states as SQL spells them, generated from `service.lifecycle`."""

from collections.abc import Sequence

from service.lifecycle import TERMINAL, State

OPEN_STATES = [state.value for state in State if state not in TERMINAL]
TERMINAL_STATES = [state.value for state in State if state in TERMINAL]


def sql_list(states: Sequence[str]) -> str:
    """Return the states as the right side of IN."""
    return "(" + ", ".join(f"'{state}'" for state in states) + ")"


OPEN = sql_list(OPEN_STATES)
ENDED = sql_list(TERMINAL_STATES)
