"""The one function that moves studies: observe the runs, decide at the rungs, give out points, end.

Each study moves in a transaction of its own with its row locked, so that several API processes may do this at once,
and a crash anywhere leaves a state that the next call goes on from. Everything is read anew from Postgres.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from pydantic import ValidationError

from service.db.access.projects import of_member
from service.db.metrics import read
from service.db.runs import decisions, runs
from service.db.runs.runs import StoredRun
from service.db.session import Connection, Engine, transaction
from service.db.studies import studies, trials
from service.db.studies.studies import StoredStudy
from service.db.studies.trials import StoredTrial
from service.errors import Invalid, QuotaExceeded, SaddleError, Unavailable
from service.experiments.context import Context
from service.settings import Settings
from service.spec.studies.samplers import Grid
from service.spec.studies.space import Point
from service.spec.studies.study import Study
from service.studies import budget
from service.studies.budget import BudgetUse
from service.studies.observation import Observation, observe, series_needed
from service.studies.rungs import decide
from service.studies.stored import study_of, trials_of
from service.studies.submission import first_pause, record_invalid, spec_at, submit_trial
from service.studies.suggest.ask import ask

log = logging.getLogger(__name__)
MAX_ASKED = 10  # points given out in one transaction
GRID_USED = "every point of the grid was given out"
MAX_FAILED = 6  # trials in a row, until the study fails
Queued = list[tuple[str, int]]  # pools, and how many runs now wait in each


def advance(engine: Engine, settings: Settings) -> Queued:
    """Move every running study as far as it goes now; return the pools of the runs that were queued."""
    queued: Queued = []
    last = ""
    while True:
        stored = None
        try:
            with transaction(engine) as connection:
                stored = studies.lock_next_running(connection, last)
                if stored is None:
                    return queued
                last = stored.id
                context = Context(connection, of_member(connection, stored.owner_id, stored.key_id), settings)
                queued += _advance(context, stored)
        except Unavailable:
            raise
        except Exception:  # one study that cannot move hinders no other
            if stored is None:
                raise
            log.exception("study %s could not advance", last)


def _advance(context: Context, stored: StoredStudy) -> Queued:
    if stored.owner_left_at is not None:
        why = f"{stored.owner} has left the project: clone the study to go on"
        studies.set_state(context.connection, stored.id, "paused", why)
        return []
    try:
        with context.connection.begin_nested():
            return StudyStep(context, stored, study_of(stored)).take()
    except Unavailable:
        raise
    except (SaddleError, ValidationError) as error:
        why = error.detail if isinstance(error, SaddleError) else "its document names a plug-in that is gone"
        studies.set_state(context.connection, stored.id, "failed", str(why)[:500])
        log.warning("study %s failed: %s", stored.id, why)
        return []


class StudyStep:
    """One step of one study, whose row this transaction has locked."""

    def __init__(self, context: Context, stored: StoredStudy, study: Study) -> None:
        self.context, self.stored, self.study = context, stored, study
        self.connection = context.connection
        self.by = f"study {stored.id}"
        self._by_number = {trial.number: trial for trial in trials.all_of(self.connection, stored.id)}
        self.costs = trials.costs(self.connection, stored.id)
        self.queued: Queued = []
        self.exhausted: str | None = None  # why no further trial will be asked

    def take(self) -> Queued:
        """Take the step."""
        self._observe()
        if reason := budget.spent(self.study.budget, self._use()):
            self._stop_all(reason)
        self.exhausted = self._exhausted()
        self._decide()
        waits = None
        if self.exhausted is None:
            waits = self._give_out()
            if self.exhausted is not None:  # which only the attempt has shown
                self._decide()
        self._end(waits)
        return self.queued

    # what the runs say

    def _observe(self) -> None:
        """Bring the trials up to what their runs have done."""
        moved = trials.moved(self.connection, self.stored.id)
        read_again = [trial for trial in self.trials if trial.state == "running" or trial.number in moved]
        found = {trial.experiment_id: trial for trial in read_again if trial.experiment_id is not None}
        own = runs_by_experiment(self.connection, list(found))
        names = series_needed(self.study.objective)
        summaries = read.summaries(self.connection, [run.id for each in own.values() for run in each], names)
        known = {run_id: {each.name: each for each in listed} for run_id, listed in summaries.items()}
        for experiment_id, trial in found.items():
            self._enter(trial, observe(self.study.objective, own[experiment_id], known))

    def _enter(self, trial: StoredTrial, seen: Observation) -> None:
        if seen.verdict in ("finished", "failed"):
            self._end_trial(trial, seen.verdict, seen.why, seen)
        elif seen.verdict == "waiting" and trial.state == "running" and len(trial.rungs) < len(trial.rung_steps):
            self._set_rungs(trial, "waiting", (*trial.rungs, seen.value))
        elif seen.verdict == "running" and trial.state == "waiting":  # somebody resumed it by hand
            self._set_rungs(trial, "running", trial.rungs)

    # what is made of it

    def _decide(self) -> None:
        """Continue and stop waiting trials; those that would exceed the budget of steps stop."""
        exhausted = self.exhausted
        verdicts = decide(self.study, trials_of(self.trials), exhausted=exhausted is not None)
        for number, decision in sorted(verdicts.items()):
            trial = self._by_number[number]
            if decision.verdict == "stop":
                self._prune(trial, decision.why)
            elif decision.verdict == "continue" and self._running < self.study.parallel:
                if budget.fits(self.study.budget, self._use(), budget.steps_to_next(trial, self._seeds)):
                    self._continue(trial, decision.why)
                else:
                    self._prune(trial, "the budget of steps does not reach to its next rung")
        waiting = [trial for trial in self.trials if trial.state == "waiting"]
        if waiting and not self._running and exhausted and not any(v.verdict == "continue" for v in verdicts.values()):
            for trial in waiting:
                self._prune(trial, "nothing else can come to its rung")

    def _continue(self, trial: StoredTrial, why: str) -> None:
        assert trial.experiment_id is not None
        self._set_rungs(trial, "running", trial.rungs)
        pause_at = budget.next_pause(trial)
        after = None if pause_at == trial.total_steps else pause_at
        continued = decisions.continue_runs(self.connection, trial.experiment_id, after, by=self.by, why=why)
        if continued:
            pool = runs.all_of_experiments(self.connection, [trial.experiment_id])[0].pool
            self.queued.append((pool, len(continued)))

    def _stop_all(self, reason: str) -> None:
        for trial in self.trials:
            if trial.open:
                self._prune(trial, f"budget: {reason}")

    def _prune(self, trial: StoredTrial, why: str) -> None:
        self._end_trial(trial, "pruned", why)

    def _end_trial(self, trial: StoredTrial, state: str, why: str | None, seen: Observation | None = None) -> None:
        """End a trial; runs that have not ended are cancelled."""
        value, values = (seen.value, seen.values) if seen else (None, ())
        trials.end(self.connection, self.stored.id, trial.number, state, why, value, values)
        if trial.experiment_id is not None:
            stopped = f"{state}: {why}" if why else state
            decisions.stop_runs(self.connection, trial.experiment_id, by=self.by, why=stopped)
        self._put(replace(trial, state=state, value=value, seed_values=values, why=why))

    # new points

    def _exhausted(self) -> str | None:
        """Return why no further trial will be asked; None: one may be."""
        use = self._use()
        if self._to_repeat() is not None:
            return budget.spent(self.study.budget, use)
        if reason := budget.no_more_points(self.study.budget, use):
            return reason
        if isinstance(self.study.sampler, Grid) and self._ask() is None:
            return GRID_USED
        return None

    def _give_out(self) -> str | None:
        """Give out points while there is room; return what keeps the study waiting, or why nothing more fits."""
        for _ in range(MAX_ASKED):
            if self._running >= self.study.parallel or self._exhausted() is not None:
                return None
            repeated = self._to_repeat()
            point = repeated.point if repeated else self._ask()
            if point is None:
                self.exhausted = GRID_USED
                return None
            if waits := self._submit(point, repeated.number if repeated else None):
                return waits
            if self.exhausted is not None or self._failed_in_a_row():
                return None
            self._by_number = {trial.number: trial for trial in trials.all_of(self.connection, self.stored.id)}
        return None

    def _submit(self, point: Point, repeats: int | None) -> str | None:
        """Submit a point as the next trial; return what it has to wait for."""
        number = len(self.trials)
        try:
            with self.connection.begin_nested():
                spec = spec_at(self.context, self.study, point)
                if not budget.fits(self.study.budget, self._use(), self._seeds * first_pause(self.study, spec)):
                    self.exhausted = f"the budget of {self.study.budget.steps} steps does not reach for another trial"
                    return None
                given = self.context, self.stored, self.study, number, point, spec
                self.queued.append(submit_trial(*given, repeats=repeats))
        except QuotaExceeded as error:
            return f"waits for the quota: {error.detail}"
        except Invalid as error:
            if any(problem.code == "disk_beyond" for problem in error.problems):
                return f"waits for the disk: {error.problems[0].detail}"
            record_invalid(self.context, self.stored, number, point, error)
        return None

    def _ask(self) -> Point | None:
        return ask(self.study, trials_of(self.trials), len(self.trials))

    def _to_repeat(self) -> StoredTrial | None:
        """Return a failed trial whose point was not given out again yet; one that makes no valid spec never is."""
        repeated = {trial.repeats for trial in self.trials}
        for trial in self.trials:
            first = trial.state == "failed" and trial.repeats is None and trial.experiment_id is not None
            if first and trial.number not in repeated:
                return trial
        return None

    def _failed_in_a_row(self) -> bool:
        ended = [trial for trial in self.trials if not trial.open][-MAX_FAILED:]
        return len(ended) == MAX_FAILED and all(trial.state == "failed" for trial in ended)

    # the end

    def _end(self, waits: str | None) -> None:
        """End the study once nothing trains and nothing comes; else say what it waits for."""
        if self._failed_in_a_row():
            last = next(trial for trial in reversed(self.trials) if trial.state == "failed")
            for trial in self.trials:
                if trial.open:
                    self._prune(trial, "the study failed")
            why = f"{MAX_FAILED} trials in a row failed; the last: {last.why}"
            studies.set_state(self.connection, self.stored.id, "failed", why[:500])
            return
        going = any(trial.open for trial in self.trials) or not self._all_over()
        reason = self.exhausted or self._exhausted()
        if not going and reason is not None:
            studies.set_state(self.connection, self.stored.id, "finished", reason)
        elif waits != self.stored.why:
            studies.set_state(self.connection, self.stored.id, "running", waits)

    def _all_over(self) -> bool:
        return all(cost.over for cost in trials.costs(self.connection, self.stored.id).values())

    # small parts

    @property
    def _seeds(self) -> int:
        return len(self.study.seeds or (0,))

    @property
    def _running(self) -> int:
        return sum(trial.state == "running" for trial in self.trials)

    def _use(self) -> BudgetUse:
        return budget.used(self.trials, self.costs, self._seeds)

    @property
    def trials(self) -> list[StoredTrial]:
        """The trials by number, as this step has changed them."""
        return list(self._by_number.values())

    def _put(self, changed: StoredTrial) -> None:
        self._by_number[changed.number] = changed

    def _set_rungs(self, trial: StoredTrial, state: str, rungs: Sequence[float | None]) -> None:
        trials.set_rungs(self.connection, self.stored.id, trial.number, state, rungs)
        self._put(replace(trial, state=state, rungs=tuple(rungs)))


def runs_by_experiment(connection: Connection, experiment_ids: Sequence[str]) -> dict[str, list[StoredRun]]:
    """Return the runs that count, one for each seed, by experiment."""
    own: dict[str, list[StoredRun]] = {experiment_id: [] for experiment_id in experiment_ids}
    for run in runs.of_experiments(connection, experiment_ids):
        own[run.experiment_id].append(run)
    return own
