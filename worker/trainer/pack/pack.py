"""Members at the same step: a first step of each, then blocks of common ones."""

import time
from collections.abc import Callable, Sequence
from functools import partial

from worker.protocol import DeviceUsage
from worker.trainer.environment import usage
from worker.trainer.pack.evaluation import evaluate_members
from worker.trainer.pack.member import Member
from worker.trainer.pack.packable import cannot_pack, pays
from worker.trainer.pack.probes import PackedProbes
from worker.trainer.pack.steps import PackedSteps
from worker.trainer.probes.learnability.shared import Shared
from worker.trainer.session import USAGE_PERIOD_S

BLOCK_S = 0.25  # seconds of a block at most, after which stop requests are looked at
FIRST_BLOCK = 8  # steps, which are timed
SLOWEST_FLUSH_S = 1.0
FLUSHED_AT_ONCE = 16  # members; more are flushed less often
SAVED_AT_ONCE = 16  # members, whose checkpoints wait for the disk together


class Pack:
    """Trains members that are at the same step until each has ended; members that end free their slots."""

    def __init__(self, members: Sequence[Member], shared: Shared) -> None:
        self.members, self.shared = list(members), shared  # with what is trained beside runs of all packs
        self.steps: PackedSteps | None = None
        self.probes: PackedProbes | None = None
        trainings = [each.training for each in members]
        self.packable = pays(trainings) and not any(cannot_pack(each) for each in trainings)
        self._step_s = 0.0
        self._flushed = self._used = time.monotonic()

    def begin(self) -> None:
        """Record what is known before the first step."""
        self._each(Member.begin)

    def advance(self) -> None:
        """Make some steps of all members: a block of common ones, or the next one of each alone."""
        self._unstack()
        if self.steps and self.probes:
            step = self.members[0].training.step
            stops = [self.probes.next_values, *(late - 1 for late in self.steps.late)]
            count = min(min(stops) - step, *(each.common_steps() for each in self.members))
            self._make_block(self.steps, self.probes, min(count, self._most_steps()))
        else:
            self._each(Member.make_own_step)
            self._stack()
        self._flush()

    def _stack(self) -> None:
        """Stack the members once each has made a step, so that its optimizer's state exists."""
        if self.packable and self.steps is None and self.members:
            self.steps = PackedSteps([each.training for each in self.members], [each.random for each in self.members])
            self.probes = PackedProbes(self.steps)

    def _unstack(self) -> None:
        """Let each member make the next step if it unfreezes parameters, whose optimizer has no state yet."""
        if self.steps and self.probes and self.members and self.members[0].training.step + 1 in self.steps.late:
            self.probes.hand_back()
            self.steps = self.probes = None

    def _most_steps(self) -> int:
        return FIRST_BLOCK if not self._step_s else max(1, int(BLOCK_S / self._step_s))

    def _make_block(self, steps: PackedSteps, probes: PackedProbes, count: int) -> None:
        began = time.monotonic()
        block = steps.run(count, probes)
        if not self._step_s or block.measured is None:
            self._step_s = (time.monotonic() - began) / count
        due = any(member.evaluation_due for member in self.members)
        measured = evaluate_members(steps) if due else [None] * len(self.members)
        for slot, (member, metrics) in enumerate(zip(self.members, measured, strict=True)):
            member.guard(partial(member.add_block, block, slot, metrics))
        self._remove_ended()

    def _each(self, act: Callable[[Member], None]) -> None:
        _guard_all(self.members, act)
        self._remove_ended()

    def _remove_ended(self) -> None:
        """Finish the members that have made their last step, each saved before one takes its time; close the gaps."""
        last = [member for member in self.members if not member.ended and member.end is not None]
        for at in range(0, len(last), SAVED_AT_ONCE):
            saved = last[at : at + SAVED_AT_ONCE]
            for act in (Member.begin_to_save, Member.end_saving):
                _guard_all(saved, act)
        _guard_all(last, partial(Member.finish, shared=self.shared))
        left = [slot for slot, each in enumerate(self.members) if not each.ended]
        if self.steps and self.probes and 0 < len(left) < len(self.members):
            self.steps.keep(left)
            self.probes.keep(left)
        self.members = [self.members[slot] for slot in left]

    def _flush(self) -> None:
        """Send the members' points now and then."""
        if not self.members:
            return
        now, first = time.monotonic(), self.members[0].session
        every = first.request.flush_s * max(1.0, len(self.members) / FLUSHED_AT_ONCE)
        if now - self._flushed < min(every, SLOWEST_FLUSH_S):
            return
        self._flushed = now
        for member in self.members:
            member.session.flush()
        if first.training.device.type == "cuda" and now - self._used >= USAGE_PERIOD_S:
            self._used = now
            for member in self.members:
                member.link.send(DeviceUsage(values=usage(first.training.device)))


def _guard_all(members: Sequence[Member], act: Callable[[Member], None]) -> None:
    """Let each member that has not ended act; what fails ends alone."""
    for member in members:
        if not member.ended:
            member.guard(partial(act, member))
