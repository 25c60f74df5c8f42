"""Time limits of a trainer: for a step, for stopping, and in total; arithmetic on a monotonic clock."""

from typing import Literal

from service.settings import Settings
from worker.protocol import Stop

CANCEL_S = 30.0  # to stop at the next step; with a checkpoint it is `drain_s`
MAX_CHECK_GAP_S = 5.0  # between checks; a longer gap means the supervisor itself was suspended or waited for Postgres
Verdict = Literal["stalled", "stop_timeout"]


class Deadlines:
    """The time limits of one attempt, counted from its claim."""

    def __init__(self, settings: Settings, budget_s: float | None, now: float) -> None:
        self.settings = settings
        self.budget_s = budget_s  # training time left; None: no limit
        self.since = self.progress_at = self.checked_at = now
        self.first_step_at: float | None = None
        self.step = 0
        self.requested: Stop | None = None
        self.requested_at = now

    def record_step(self, step: int, now: float) -> None:
        """Record that all steps up to this one have ended."""
        if step > self.step:
            self.step, self.progress_at = step, now
            self.first_step_at = self.first_step_at or now

    def record_reading(self, now: float) -> None:
        """Record a probe's reading, because a probe job makes no steps."""
        self.progress_at = now

    def request(self, stop: Stop, now: float) -> bool:
        """Record a stop request; return whether to send it. The first starts the grace period, a cancel restarts it.

        A run that makes way has no grace period: killing it would lose work for somebody who can wait.
        """
        if stop == self.requested:
            return False
        if self.requested in (None, "yield") or stop == "cancel":
            self.requested_at = now
        self.requested = stop
        return True

    @property
    def grace_s(self) -> float:
        """Seconds from the request until the trainer is killed."""
        return CANCEL_S if self.requested == "cancel" else self.settings.drain_s

    def is_out_of_time(self, now: float) -> bool:
        """Whether the run has used up its training time."""
        return self.budget_s is not None and now - self.since >= self.budget_s

    def stepping_s(self, now: float) -> float:
        """Seconds since the first step; 0 before it."""
        return now - self.first_step_at if self.first_step_at else 0.0

    def may_yield(self, now: float) -> bool:
        """Whether the attempt has trained its turn, and at least as long as it took to start."""
        if self.first_step_at is None:
            return False
        return now - self.first_step_at >= max(self.settings.turn_s, self.first_step_at - self.since)

    def quiet_s(self, now: float) -> float:
        """Seconds since the last step or reading."""
        return now - self.progress_at

    def check(self, now: float, moved_at: float) -> Verdict | None:
        """Return why to kill the trainer, or None; `moved_at` is when its loop was last seen to move."""
        gap_s, self.checked_at = now - self.checked_at, now
        if gap_s > MAX_CHECK_GAP_S:
            self.progress_at += gap_s
            self.requested_at += gap_s
        if self.requested not in (None, "yield"):
            return "stop_timeout" if now - self.requested_at > self.grace_s else None
        still_s = now - max(self.progress_at, moved_at)
        if self.first_step_at is not None and still_s > self.settings.stall_s:
            return "stalled"
        longest = max(self.settings.stall_s, self.settings.first_step_s) if self.first_step_at else None
        return "stalled" if self.quiet_s(now) > (longest or self.settings.first_step_s) else None
