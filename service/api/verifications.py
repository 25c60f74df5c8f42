"""Routes of remedies that are tried: begin one, and see what came of each."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, BackgroundTasks, Depends, Path, Response
from pydantic import Field

from service.analysis.result import diverged
from service.analysis.verifying import Judged, Level, Trained, judge, together
from service.api.deps import ConnectionDep, PrincipalDep, RunId, RuntimeDep, optional_body, takes
from service.api.derived_experiments import Desk
from service.api.diagnosis_views import DiagnosisView
from service.api.experiments import IdempotencyKey
from service.api.offspring import told
from service.api.opinions import diagnosis_of
from service.api.orders import VerifyOrder
from service.api.remedies import ESCAPABLE, begin
from service.api.views import Json, Number, RunView, Utc, View, run_views
from service.db import experiments, metrics, runs, verifications
from service.db.projects import Principal
from service.db.runs import StoredRun
from service.db.session import Connection
from service.db.verifications import StoredVerification
from service.errors import NotFound
from service.lifecycle import TERMINAL, State
from service.spec.document import validate
from service.spec.experiment import Experiment
from service.spec.measures import LOSSES, better

router = APIRouter(prefix="/v1/runs", tags=["diagnosis"])
FindingId = Annotated[str, Path(pattern="^[A-Za-z0-9_.:-]{1,64}$", description="of the run's diagnosis")]
Series = Literal["val/loss", "val/accuracy", "loss"]


class LevelView(View):
    """Where a run ended: the mean of the last tenth of the values, its standard error, and the best value."""

    last: Number
    error: Number
    best: Number

    @classmethod
    def of(cls, found: Level | None) -> "LevelView | None":
        """None where nothing is finite."""
        return None if found is None else cls(**found._asdict())


class SeedView(View):
    """One seed with and without the remedy."""

    seed: int
    result: Literal["helped", "did_not_help", "undecided"]
    why: str
    control: LevelView | None
    patched: LevelView | None
    margin: Number | None = Field(description="a difference within it is none")

    @classmethod
    def of(cls, seed: int, found: Judged) -> "SeedView":
        """As it was judged."""
        levels = {"control": LevelView.of(found.control), "patched": LevelView.of(found.patched)}
        return cls(seed=seed, result=found.result, why=found.why, margin=found.margin, **levels)


class MeasuredView(View):
    """What the outcome rests on."""

    series: Series | None = Field(description="null: the remedy changes what the loss means, so the symptom decides")
    control: LevelView | None = Field(description="of the first seed")
    patched: LevelView | None
    seeds: list[SeedView]


class PairView(View):
    """The runs of one seed; null: not begun, or deleted since."""

    seed: int
    control: RunView | None
    patched: RunView | None


class VerificationView(View):
    """A remedy that is tried."""

    id: str
    run_id: str
    finding: str
    verdict: str
    text: str
    remedy: Literal["patch", "escape"] = Field(description="escape: goes on from the way out of a saddle")
    patch: list[Json] | None
    from_step: int = Field(description="both go on from the run's state at this step; 0: from the beginning")
    job: RunView | None = Field(description="the probe job that looks for the way out")
    control: RunView | None = Field(description="without the remedy, the first seed; null: deleted since")
    patched: RunView | None = Field(description="with the remedy; null: it waits for the job, or cannot be tried")
    pairs: list[PairView]
    state: Literal["looking", "running", "done", "failed"]
    outcome: Literal["helped", "did_not_help", "undecided"] | None = Field(description="null: it is not known yet")
    why: str | None
    measured: MeasuredView | None
    created_at: Utc


class VerificationsView(View):
    """Each time the remedy of a finding was tried, oldest first."""

    items: list[VerificationView]


@router.post(
    "/{run_id}/diagnosis/{finding}/verify",
    operation_id="verify_finding",
    status_code=201,
    openapi_extra=takes(VerifyOrder, required=False),
)
def verify_finding(
    run_id: RunId,
    finding: FindingId,
    order: Annotated[VerifyOrder, Depends(optional_body(VerifyOrder))],
    principal: PrincipalDep,
    runtime: RuntimeDep,
    connection: ConnectionDep,
    response: Response,
    tasks: BackgroundTasks,
    idempotency_key: IdempotencyKey = None,
) -> VerificationView:
    """Try the remedy: go on from the last healthy state with it and without, in the same order of data.

    409 where the finding has no remedy.
    """
    chosen = _finding(connection, principal, run_id, finding)
    desk = Desk(connection, principal, runtime.settings)
    made, new = begin(desk, run_id, chosen, order.seeds, idempotency_key)
    told(response, f"/v1/runs/{run_id}/diagnosis/{finding}/verify", new)
    stored = verifications.of_finding(connection, principal, run_id, finding)
    (found,) = [view_of(connection, principal, each) for each in stored if each.id == made]
    if new:
        pool = runs.get(connection, principal, run_id).pool
        tasks.add_task(runtime.dispatcher.ring, pool, 2 * order.seeds)
    return found


def _finding(connection: Connection, principal: Principal, run_id: str, finding: str) -> Json:
    """As the diagnosis has it now."""
    findings = DiagnosisView.of(*diagnosis_of(connection, principal, run_id)).findings
    for each in findings:
        if each.id == finding:
            return each.model_dump(mode="json")
    there = ", ".join(each.id for each in findings) or "none"
    raise NotFound(f"The run's diagnosis has no finding {finding}; its findings: {there}.")


@router.get("/{run_id}/diagnosis/{finding}/verify", operation_id="list_verifications")
def list_verifications(
    run_id: RunId, finding: FindingId, principal: PrincipalDep, connection: ConnectionDep
) -> VerificationsView:
    """Every time the remedy was tried, and whether it helped, as far as that is known."""
    runs.get(connection, principal, run_id)
    found = verifications.of_finding(connection, principal, run_id, finding)
    return VerificationsView(items=[view_of(connection, principal, each) for each in found])


def view_of(connection: Connection, principal: Principal, stored: StoredVerification) -> VerificationView:
    """With its runs as they are now, judged once all have ended."""
    control, patched = (_runs(connection, principal, each) for each in (stored.control_id, stored.patched_id))
    job = [] if stored.job_id is None else runs.some(connection, principal, [stored.job_id])
    shown = [*control.values(), *patched.values(), *job]
    summaries = metrics.summaries(connection, [each.id for each in shown])
    views = {each.id: view for each, view in zip(shown, run_views(shown, summaries, {}), strict=True)}
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
    judged: list[Judged] = []
    for seed in stored.seeds:
        both = [_trained(connection, principal, stored, each.get(seed), series) for each in (control, patched)]
        judged.append(judge(both[0], both[1], series, less=series is None or better(series) == "min"))
    seeds = [SeedView.of(seed, each) for seed, each in zip(stored.seeds, judged, strict=True)]
    outcome, why = together(judged)
    return MeasuredView(series=series, control=seeds[0].control, patched=seeds[0].patched, seeds=seeds), outcome, why


def _series(connection: Connection, principal: Principal, stored: StoredVerification) -> Series | None:
    """What both can be held against: the validation where it is made, and its accuracy where the loss is another."""
    ids = [stored.control_id, stored.patched_id or stored.control_id]
    try:
        found = [validate(Experiment, experiments.get(connection, principal, each).spec) for each in ids]
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
) -> Trained:
    """What one run came to, and whether the rule still finds the symptom there."""
    if run is None:
        return Trained(metrics.nothing().values, ended=False)
    names = [] if series is None else [series]
    curve = metrics.read(connection, run.id, names).get(series or "") if names else None
    losses = {each.name: each for each in metrics.summaries(connection, [run.id], LOSSES)[run.id]}
    lost = diverged(run, losses)
    return Trained(
        values=metrics.nothing().values if curve is None else curve.values,
        diverged=lost,
        ended=run.state is State.SUCCEEDED or lost,
        symptom=_symptom(connection, principal, stored, run.id),
    )


def _symptom(connection: Connection, principal: Principal, stored: StoredVerification, run_id: str) -> bool | None:
    """Whether the rule comes to the same verdict there; None: it cannot tell."""
    _, found = diagnosis_of(connection, principal, run_id)
    for standing in found.findings:
        if standing.rule.id == stored.finding:
            return bool(standing.found.verdict == stored.found["verdict"])  # a minimum where a saddle was is a success
    for each in found.checked:
        if each.rule.id == stored.finding:
            return {"suppressed": True, "clear": False}.get(each.state)
    return None
