"""The policy of fair turns: how long use of a device counts, and when a run is preempted."""

from dataclasses import dataclass


@dataclass(frozen=True)
class TurnPolicy:
    """The settings that the queue needs; `service.db.runs.turns` describes the order."""

    half_life_s: float = 1800.0  # after which use of a device counts half
    turn_s: float = 20.0  # training at least, before a run is preempted; a run counts as this much use from its start
    preempt_after_s: float = 20.0  # of waiting, before another run is preempted; 0: never


DEFAULT_POLICY = TurnPolicy()
