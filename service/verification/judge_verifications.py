"""Judge verifications from what their runs recorded. Each is judged once; the judgement is stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service.analysis.result import diverged
from service.db.access.principal import Principal
from service.db.experiments import experiments, judgements
from service.db.experiments.verifications import StoredVerification
from service.db.metrics import read
from service.db.metrics.read import Curve, SeriesSummary
from service.db.runs import probe_results, runs
from service.db.runs.runs import StoredRun
from service.db.session import Connection
from service.diagnosis import diagnose
from service.diagnosis.diagnose import Diagnosis
from service.diagnosis.diagnose_run import diagnose_runs
from service.experiments.parsed_spec import parsed_spec
from service.lifecycle import TERMINAL, State
from service.schemas.verifications import Judgement, LevelView, MeasuredView, SeedView, Series
from service.spec.experiment import Experiment
from service.spec.measures import LOSS_SERIES, better_direction
from service.verification import outcomes
from service.verification.outcomes import SeedOutcome, TrainedRun, combine_seeds, judge_seed

RunsBySeed = Mapping[int, StoredRun]


@dataclass(frozen=True)
class VerificationRuns:
    """A verification with its runs: of each seed the one that counts, none of an experiment that was deleted."""

    stored: StoredVerification
    control: RunsBySeed
    patched: RunsBySeed
    specs: tuple[Experiment, ...]  # of the control and the patched runs, as far as they are there

    @property
    def runs(self) -> list[StoredRun]:
        """Of both sides."""
        return [*self.control.values(), *self.patched.values()]

    @property
    def finished(self) -> bool:
        """Whether both sides were queued, and all their runs have ended."""
        started = self.stored.failure is None and self.stored.patched_id is not None
        return started and all(run.state in TERMINAL for run in self.runs)


@dataclass(frozen=True)
class _Recorded:
    """What the runs recorded, by run."""

    curves: Mapping[str, Mapping[str, Curve]]
    losses: Mapping[str, Sequence[SeriesSummary]]
    diagnoses: Mapping[str, Diagnosis]


def load_runs(
    connection: Connection, principal: Principal, stored: Sequence[StoredVerification]
) -> list[VerificationRuns]:
    """Return the verifications with their runs."""
    ids = {name for each in stored for name in (each.control_id, each.patched_id) if name}
    found = experiments.find(connection, principal, ids)
    sides: dict[str, dict[int, StoredRun]] = {name: {} for name in ids}
    for run in runs.of_experiments(connection, list(found)):
        sides[run.experiment_id][run.seed] = run
    return [
        VerificationRuns(
            each,
            sides[each.control_id],
            sides[each.patched_id] if each.patched_id else {},
            tuple(parsed_spec(found[name]) for name in (each.control_id, each.patched_id) if name in found),
        )
        for each in stored
    ]


def judge_verifications(
    connection: Connection, principal: Principal, found: Sequence[VerificationRuns]
) -> dict[str, Judgement]:
    """Return the judgement of every finished verification, by the verification's id."""
    finished = {each.stored.id: each for each in found if each.finished}
    bases = _bases(connection, finished)
    known = {name: Judgement.model_validate(each) for name, each in judgements.load(connection, bases).items()}
    missing = [each for name, each in finished.items() if name not in known]
    if not missing:
        return known
    recorded = _read(connection, principal, missing)
    new = {each.stored.id: _judge(each, recorded) for each in missing}
    judgements.store(connection, bases, {name: each.model_dump(mode="json") for name, each in new.items()})
    return known | new


def _bases(connection: Connection, found: Mapping[str, VerificationRuns]) -> dict[str, list[str]]:
    """Return what each judgement rests on: a run that is retried, probed or deleted makes it another."""
    run_ids = [run.id for each in found.values() for run in each.runs]
    readings = probe_results.newest_ids(connection, run_ids) if run_ids else {}
    versions = f"rules {diagnose.VERSION}, outcomes {outcomes.VERSION}"
    return {
        name: [versions, *(f"{run.id} {readings.get(run.id, 0)}" for run in each.runs)] for name, each in found.items()
    }


def _read(connection: Connection, principal: Principal, found: Sequence[VerificationRuns]) -> _Recorded:
    trained = [run for each in found for run in each.runs]
    ids, names = [run.id for run in trained], {name for each in found if (name := _shared_series(each))}
    return _Recorded(
        curves=read.curves(connection, ids, sorted(names)),
        losses=read.summaries(connection, ids, LOSS_SERIES),
        diagnoses=diagnose_runs(connection, principal, trained),
    )


def _judge(verification: VerificationRuns, recorded: _Recorded) -> Judgement:
    series = _shared_series(verification)
    less = series is None or better_direction(series) == "min"
    judged = []
    for seed in verification.stored.seeds:
        sides = (verification.control.get(seed), verification.patched.get(seed))
        control, patched = (_trained(verification.stored, run, series, recorded) for run in sides)
        judged.append(judge_seed(control, patched, series, less))
    seeds = [_seed_view(seed, each) for seed, each in zip(verification.stored.seeds, judged, strict=True)]
    outcome, why = combine_seeds(judged)
    measured = MeasuredView(series=series, control=seeds[0].control, patched=seeds[0].patched, seeds=seeds)
    return Judgement(measured=measured, outcome=outcome, why=why)


def _seed_view(seed: int, found: SeedOutcome) -> SeedView:
    control, patched = (level and LevelView.of(level) for level in (found.control, found.patched))
    return SeedView.of(found, seed=seed, control=control, patched=patched)


def _shared_series(verification: VerificationRuns) -> Series | None:
    """Return the series that both sides can be compared by: validated if they are, accuracy if their losses differ."""
    if len(verification.specs) < 2:
        return None
    control, patched = verification.specs
    validated = all(each.dataset.validated for each in verification.specs)
    scalings = {getattr(each.dataset, "target_scaling", None) for each in verification.specs}
    if control.loss == patched.loss and len(scalings) == 1:
        return "val/loss" if validated else "loss"
    return "val/accuracy" if validated and control.dataset.facts.task == "classification" else None


def _trained(stored: StoredVerification, run: StoredRun | None, series: str | None, recorded: _Recorded) -> TrainedRun:
    if run is None:
        return TrainedRun(read.empty_curve().values, ended=False)
    curve = recorded.curves[run.id].get(series or "", read.empty_curve())
    lost = diverged(run, {each.name: each for each in recorded.losses[run.id]})
    return TrainedRun(
        values=curve.values,
        diverged=lost,
        ended=run.state is State.SUCCEEDED or lost,
        symptom=_has_symptom(stored, recorded.diagnoses[run.id]),
    )


def _has_symptom(stored: StoredVerification, diagnosis: Diagnosis) -> bool | None:
    """Return whether the rule comes to the same verdict in this run; None where it cannot tell."""
    for each in diagnosis.findings:
        if each.rule.id == stored.finding:
            return bool(each.finding.verdict == stored.found["verdict"])  # a minimum in place of a saddle is a success
    states = {each.rule.id: each.state for each in diagnosis.checked}
    return {"suppressed": True, "clear": False}.get(states.get(stored.finding, "unknown"))
