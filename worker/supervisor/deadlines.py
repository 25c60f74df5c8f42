"""How long a trainer may take to step, to stop, and altogether: arithmetic on a monotonic clock."""

from typing import Literal

from service.settings import Settings
from worker.protocol import Stop

CANCEL_S = 30.0  # to stop at the next step; writing a checkpoint as well may take `drain_s`
BLIND_S = 5.0  # a supervisor that did not check for so long was stopped itself, or waited for Postgres
Verdict = Literal["stalled", "disobedient"]


class Deadlines:
    """The clocks of one attempt, from its claim on."""

    def __init__(self, settings: Settings, budget_s: float | None, now: float) -> None:
        self.settings = settings
        self.budget_s = budget_s  # of training time that is left; None: no limit
        self.since = self.progress_at = self.checked_at = now
        self.first_step_at: float | None = None
        self.step = 0
        self.requested: Stop | None = None
        self.requested_at = now

    def record_step(self, step: int, now: float) -> None:
        """Note that all steps up to this one have ended."""
        if step > self.step:
            self.step, self.progress_at = step, now
            self.first_step_at = self.first_step_at or now

    def record_reading(self, now: float) -> None:
        """Note that a probe has reported: a probe job takes no steps."""
        self.progress_at = now

    def request(self, stop: Stop, now: float) -> bool:
        """Whether the trainer has yet to be told; the first request starts the grace period, a cancel restarts it."""
        if stop == self.requested:
            return False
        if self.requested is None or stop == "cancel":
            self.requested_at = now
        self.requested = stop
        return True

    @property
    def grace_s(self) -> float:
        """Seconds from the request until the trainer is killed."""
        return CANCEL_S if self.requested == "cancel" else self.settings.drain_s

    def is_out_of_time(self, now: float) -> bool:
        """Whether the run has trained for as long as it may."""
        return self.budget_s is not None and now - self.since >= self.budget_s

    def stepping_s(self, now: float) -> float:
        """Seconds since the first step; 0 before it."""
        return now - self.first_step_at if self.first_step_at else 0.0

    def quiet_s(self, now: float) -> float:
        """Seconds since the last step or reading."""
        return now - self.progress_at

    def check(self, now: float, moved_at: float) -> Verdict | None:
        """Return why the trainer is to be killed, if it is; `moved_at`: when its loop was last seen to move."""
        blind_s, self.checked_at = now - self.checked_at, now
        if blind_s > BLIND_S:
            self.progress_at += blind_s
            self.requested_at += blind_s
        if self.requested is not None:
            return "disobedient" if now - self.requested_at > self.grace_s else None
        still_s = now - max(self.progress_at, moved_at)
        if self.first_step_at is not None and still_s > self.settings.stall_s:
            return "stalled"
        longest = max(self.settings.stall_s, self.settings.first_step_s) if self.first_step_at else None
        return "stalled" if self.quiet_s(now) > (longest or self.settings.first_step_s) else None
