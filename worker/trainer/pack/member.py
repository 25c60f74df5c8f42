"""One run of a pack: an ordinary training and session, whose steps are made with those of the others."""

from collections.abc import Callable

import numpy as np

from service.errors import RunFailure
from worker.protocol import Failed, Failing
from worker.trainer.channel import SupervisorLink
from worker.trainer.divergence_replay import replay_divergence
from worker.trainer.failures import REUSABLE_AFTER, run_failure_of
from worker.trainer.loop import Training, begin_training, evaluate, make_step
from worker.trainer.metrics import Metrics
from worker.trainer.pack.randomness import MemberRandom
from worker.trainer.pack.steps import Block
from worker.trainer.probes.learnability.shared import Shared
from worker.trainer.recorder import HostRecorder, Readings
from worker.trainer.session import End, Session


class Member:
    """A run between its start and its end; `ended` once the supervisor knows how it ended, or will after a replay."""

    def __init__(self, session: Session, prepare_again: Callable[[], Training]) -> None:
        """Take over the process's random state, which is that of the training after it was built and resumed."""
        self.session, self.training, self.link = session, session.training, session.supervisor
        self.prepare_again = prepare_again  # without probes, for the replay of a divergence
        self.random = MemberRandom(self.training.device)
        session.random_state = self.random.active
        session.recorder = self.recorder = HostRecorder(self.training.step + 1, session.tolerated)
        spec, rules = self.training.spec, session.policy.rules
        self.evaluation_every = spec.evaluation_every
        every = (self.evaluation_every, rules.every_steps, rules.keep_every)
        self._every = [n for n in every if n is not None]  # intervals at whose multiples something is due
        self.total_steps = spec.total_steps
        self.diverged: RunFailure | None = None
        self.ended = False

    def begin(self) -> None:
        """Record what is known before the first step."""
        with self.random.active():
            end = self.session.begin()
            if end is None:
                begin_training(self.training)
        self._end_by(end)

    def common_steps(self) -> int:
        """Return how many steps can be made with others', up to the next one after which something is due."""
        session, step = self.session, self.training.step
        stops = [session.total, session.pause, self.training.probes.next_step]
        stops += [step - step % n + n for n in self._every]
        return min(stop for stop in stops if stop > step) - step

    @property
    def evaluation_due(self) -> bool:
        """Whether an ordinary step would have evaluated it by the number of the step that was just made."""
        return self.training.step in (
            self.total_steps,
            self.training.step // self.evaluation_every * self.evaluation_every,
        )

    def make_own_step(self) -> None:
        """Make an ordinary step."""
        with self.random.active():
            step = make_step(self.training, self.training.step + 1)
        self.recorder.record(step)
        self._end_by(self.session.after_step(step.step, step.metrics))

    def add_block(self, block: Block, slot: int, evaluated: Metrics | None) -> None:
        """Record the steps of a block; the last one may be probed, and `evaluated`."""
        count, step, training = len(block.losses), self.training.step, self.training
        first = step - count + 1
        losses, rates = block.losses[:, slot], block.rates[:, slot]
        readings = self._readings(block, slot, first)
        if count > 1:
            self.recorder.record_block(first, losses[:-1], rates[:-1], readings[:-1])
        metrics: Metrics = {} if block.measured is None else block.measured[slot]
        if step == training.probes.next_step:
            metrics |= training.probes.after_packed_update(training, step, self.random.active)
        metrics |= readings[-1][1] if readings else {}
        training.pipeline.stopping.after_step(step, metrics)
        if evaluated is not None and self.evaluation_due:
            metrics |= evaluate(training, step, float(losses[-1]), evaluated)
        self.recorder.record_block(step, losses[-1:], rates[-1:], [(step, metrics)] if metrics else [])
        self._end_by(self.session.after_step(step, metrics or None))

    def _readings(self, block: Block, slot: int, first: int) -> Readings:
        """Return the values that each step records beside loss and rate."""
        columns = [] if block.norms is None else [("grad_norm", block.norms[:, slot])]
        labels = [f"lr/{own.label}" for own in self.training.rates.groups]
        columns += [(label, rates[:, slot]) for label, rates in zip(labels, block.groups, strict=False)]
        if not columns:
            return []
        names, values = zip(*columns, strict=True)
        rows = np.stack(values, 1).tolist()
        return [(first + at, dict(zip(names, row, strict=True))) for at, row in enumerate(rows)]

    def _end_by(self, end: End | None) -> None:
        self.end = end

    def begin_to_save(self) -> None:
        """Send the end, and begin to save it."""
        assert self.end is not None
        self.session.begin_to_save_end(*self.end)

    def end_saving(self) -> None:
        """Wait until the end is saved."""
        self.session.writer.wait()

    def finish(self, shared: Shared) -> None:
        """Report the end, which is saved; `shared` is what was trained beside runs of the pack."""
        assert self.end is not None
        self.link.send(self.session.conclude(self.end[0], shared))
        self.ended = True

    def guard(self, act: Callable[[], None]) -> None:
        """Let this run alone fail; raise `RunFailure` where the trainer cannot be used any more."""
        try:
            act()
        except Exception as error:
            failure = run_failure_of(error, self.training.step)
            self.session.finish_failed()
            if failure.kind not in REUSABLE_AFTER:
                raise failure from error
            self.ended = True
            if failure.kind == "diverged" and self.session.request.autopsy_s > 0:
                self.diverged = failure  # replayed once nobody waits
                self.link.send(
                    Failing(kind=failure.kind, detail=failure.detail, step=failure.step, evidence=failure.evidence)
                )
            else:
                report(self.link, failure)

    def replay(self) -> None:
        """Look for the cause of a divergence, and report the failure."""
        if (failure := self.diverged) is not None:
            limit_s = self.session.request.autopsy_s
            replay_divergence(self.prepare_again, self.session.history(), failure, limit_s, self.link)
            report(self.link, failure)


def report(link: SupervisorLink, failure: RunFailure) -> None:
    """Tell the supervisor that a run has failed, and that the trainer goes on."""
    kind, detail, step, evidence = failure.kind, failure.detail, failure.step, failure.evidence
    link.send(Failed(kind=kind, detail=detail, step=step, evidence=evidence, trainer_usable=True))
