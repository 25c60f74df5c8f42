"""How long a trainer may take: to step, to obey, and altogether: arithmetic over a monotonic clock."""

from typing import Literal

from service.settings import Settings

CANCEL_S = 30.0  # for a trainer told to stop at the next step; to write a checkpoint it has `drain_s`
BLIND_S = 5.0  # a supervisor that did not look for so long was stopped itself, or waited for Postgres
Verdict = Literal["stalled", "disobedient"]


class Watch:
    """One attempt's clocks, from its claim on."""

    def __init__(self, settings: Settings, budget_s: float | None, now: float) -> None:
        self.settings = settings
        self.budget_s = budget_s  # of training time that is left; None: no limit
        self.since = self.progress_at = self.looked_at = now
        self.first_step_at: float | None = None
        self.step = 0
        self.told: str | None = None
        self.told_at = now

    def stepped(self, step: int, now: float) -> None:
        """Steps up to this one have ended."""
        if step > self.step:
            self.step, self.progress_at = step, now
            self.first_step_at = self.first_step_at or now

    def looked(self, now: float) -> None:
        """A probe has looked: a job of instruments has no steps to be told by."""
        self.progress_at = now

    def tell(self, wish: str, now: float) -> bool:
        """Whether the trainer has yet to be told; the time to obey starts with the first word, a cancel's anew."""
        if wish == self.told:
            return False
        if self.told is None or wish == "cancel":
            self.told_at = now
        self.told = wish
        return True

    @property
    def obey_s(self) -> float:
        """Seconds from the wish to the end of patience."""
        return CANCEL_S if self.told == "cancel" else self.settings.drain_s

    def used_up(self, now: float) -> bool:
        """Whether the run has trained for as long as it may."""
        return self.budget_s is not None and now - self.since >= self.budget_s

    def stepping_s(self, now: float) -> float:
        """Seconds since the first step; 0 before it."""
        return now - self.first_step_at if self.first_step_at else 0.0

    def quiet_s(self, now: float) -> float:
        """Seconds since the last step that was heard of."""
        return now - self.progress_at

    def look(self, now: float, moved_at: float) -> Verdict | None:
        """Whether patience is at its end; `moved_at`: when the trainer's loop was last seen to move."""
        blind_s, self.looked_at = now - self.looked_at, now
        if blind_s > BLIND_S:
            self.progress_at += blind_s
            self.told_at += blind_s
        if self.told is not None:
            return "disobedient" if now - self.told_at > self.obey_s else None
        stands_s = now - max(self.progress_at, moved_at)
        if self.first_step_at is not None and stands_s > self.settings.stall_s:
            return "stalled"
        longest = max(self.settings.stall_s, self.settings.first_step_s) if self.first_step_at else None
        return "stalled" if self.quiet_s(now) > (longest or self.settings.first_step_s) else None
