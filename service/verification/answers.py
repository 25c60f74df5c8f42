"""Tried remedies as they are sent: their runs, and what these show once all have ended."""

from typing import Any, Literal

from service.analysis.result import diverged
from service.db.access.projects import Principal
from service.db.experiments import experiments, verifications
from service.db.experiments.verifications import StoredVerification
from service.db.metrics import read
from service.db.runs import runs
from service.db.runs.runs import StoredRun
from service.db.session import Connection
from service.diagnosis.diagnose_run import diagnosis_of
from service.errors import NotFound
from service.experiments.parsed_spec import parsed_spec
from service.experiments.run_answers import read_runs
from service.lifecycle import TERMINAL, State
from service.schemas.verifications import (
    LevelView,
    MeasuredView,
    PairView,
    SeedView,
    Series,
    VerificationsView,
    VerificationView,
)
from service.spec.experiment import Experiment
from service.spec.measures import LOSS_SERIES, better_direction
from service.verification.outcomes import Level, SeedOutcome, TrainedRun, combine_seeds, judge_seed
from service.verification.start import ESCAPABLE


def verifications_of(connection: Connection, principal: Principal, run_id: str, finding: str) -> VerificationsView:
    """Return every time the remedy of a finding was tried, oldest first."""
    runs.get(connection, principal, run_id)
    found = verifications.of_finding(connection, principal, run_id, finding)
    return VerificationsView(items=[view_of(connection, principal, each) for each in found])


def view_of(connection: Connection, principal: Principal, stored: StoredVerification) -> VerificationView:
    """With its runs as they are now, judged once all have ended."""
    control, patched = (_runs(connection, principal, each) for each in (stored.control_id, stored.patched_id))
    job = [] if stored.job_id is None else runs.get_many(connection, principal, [stored.job_id])
    shown = [*control.values(), *patched.values(), *job]
    views = {view.id: view for view in read_runs(connection, shown, with_places=False)}
    pairs = [
        PairView(seed=seed, **{name: each and views[each.id] for name, each in _pair(control, patched, seed).items()})
        for seed in stored.seeds
    ]
    state = _state(stored, [*control.values(), *patched.values()])
    measured, outcome, why = None, None, stored.failure
    if state == "done":
        measured, outcome, why = _judged(connection, principal, stored, control, patched)
    return VerificationView(
        id=stored.id,
        run_id=stored.run_id,
        finding=stored.finding,
        verdict=stored.found["verdict"],
        text=stored.found["text"],
        remedy="escape" if stored.found["verdict"] in ESCAPABLE else "patch",
        patch=stored.found["patch"],
        from_step=stored.from_step,
        job=views[job[0].id] if job else None,
        control=pairs[0].control,
        patched=pairs[0].patched,
        pairs=pairs,
        state=state,
        outcome=outcome,
        why=why,
        measured=measured,
        created_at=stored.created_at,
    )


def _runs(connection: Connection, principal: Principal, experiment_id: str | None) -> dict[int, StoredRun]:
    """By seed the run that counts; nothing of an experiment that is not there."""
    if experiment_id is None:
        return {}
    try:
        experiments.get(connection, principal, experiment_id)
    except NotFound:
        return {}
    return {each.seed: each for each in runs.of_experiments(connection, [experiment_id])}


def _pair(control: dict[int, StoredRun], patched: dict[int, StoredRun], seed: int) -> dict[str, StoredRun | None]:
    return {"control": control.get(seed), "patched": patched.get(seed)}


def _state(stored: StoredVerification, found: list[StoredRun]) -> Literal["looking", "running", "done", "failed"]:
    if stored.failure is not None:
        return "failed"
    if stored.patched_id is None:
        return "looking"
    return "done" if all(each.state in TERMINAL for each in found) else "running"


def _judged(
    connection: Connection,
    principal: Principal,
    stored: StoredVerification,
    control: dict[int, StoredRun],
    patched: dict[int, StoredRun],
) -> tuple[MeasuredView, Literal["helped", "did_not_help", "undecided"], str]:
    series = _series(connection, principal, stored)
    judged: list[SeedOutcome] = []
    for seed in stored.seeds:
        both = [_trained(connection, principal, stored, each.get(seed), series) for each in (control, patched)]
        judged.append(judge_seed(both[0], both[1], series, less=series is None or better_direction(series) == "min"))
    seeds = [_seed(seed, each) for seed, each in zip(stored.seeds, judged, strict=True)]
    outcome, why = combine_seeds(judged)
    return MeasuredView(series=series, control=seeds[0].control, patched=seeds[0].patched, seeds=seeds), outcome, why


def _seed(seed: int, found: SeedOutcome) -> SeedView:
    return SeedView.of(found, seed=seed, control=_level(found.control), patched=_level(found.patched))


def _level(found: Level | None) -> LevelView | None:
    """Return where a run ended; None where nothing is finite."""
    return found and LevelView.of(found)


def _series(connection: Connection, principal: Principal, stored: StoredVerification) -> Series | None:
    """What both can be held against: the validation where it is made, and its accuracy where the loss is another."""
    ids = [stored.control_id, stored.patched_id or stored.control_id]
    try:
        found = [parsed_spec(experiments.get(connection, principal, each)) for each in ids]
    except NotFound:
        return None
    same = found[0].loss == found[1].loss and len({_scaling(each) for each in found}) == 1
    validated = all(each.dataset.validation > 0 for each in found)
    if same:
        return "val/loss" if validated else "loss"
    return "val/accuracy" if validated and found[0].dataset.facts.task == "classification" else None


def _scaling(spec: Experiment) -> Any:
    return getattr(spec.dataset, "target_scaling", None)


def _trained(
    connection: Connection, principal: Principal, stored: StoredVerification, run: StoredRun | None, series: str | None
) -> TrainedRun:
    """What one run came to, and whether the rule still finds the symptom there."""
    if run is None:
        return TrainedRun(read.empty_curve().values, ended=False)
    names = [] if series is None else [series]
    curve = read.curves_of_run(connection, run.id, names).get(series or "") if names else None
    losses = {each.name: each for each in read.summaries(connection, [run.id], LOSS_SERIES)[run.id]}
    lost = diverged(run, losses)
    return TrainedRun(
        values=read.empty_curve().values if curve is None else curve.values,
        diverged=lost,
        ended=run.state is State.SUCCEEDED or lost,
        symptom=_symptom(connection, principal, stored, run.id),
    )


def _symptom(connection: Connection, principal: Principal, stored: StoredVerification, run_id: str) -> bool | None:
    """Whether the rule comes to the same verdict there; None: it cannot tell."""
    _, found = diagnosis_of(connection, principal, run_id)
    for standing in found.findings:
        if standing.rule.id == stored.finding:
            return bool(
                standing.finding.verdict == stored.found["verdict"]
            )  # a minimum where a saddle was is a success
    for each in found.checked:
        if each.rule.id == stored.finding:
            return {"suppressed": True, "clear": False}.get(each.state)
    return None
