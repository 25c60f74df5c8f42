"""Verifications as the API answers them: their runs now, and the judgement once all have ended."""

from collections.abc import Mapping, Sequence
from typing import Literal

from service.db.access.principal import Principal
from service.db.experiments import verifications
from service.db.experiments.verifications import StoredVerification
from service.db.runs import runs
from service.db.session import Connection
from service.experiments.run_answers import read_runs
from service.schemas.runs import RunView
from service.schemas.verifications import Judgement, PairView, VerificationsView, VerificationView
from service.verification.escape import ESCAPE_VERDICTS
from service.verification.judge_verifications import VerificationRuns, judge_verifications, load_runs


def verifications_of(connection: Connection, principal: Principal, run_id: str, finding: str) -> VerificationsView:
    """Return every verification of a finding, oldest first."""
    runs.get(connection, principal, run_id)
    stored = verifications.of_finding(connection, principal, run_id, finding)
    return VerificationsView(items=verification_views(connection, principal, stored))


def verification_views(
    connection: Connection, principal: Principal, stored: Sequence[StoredVerification]
) -> list[VerificationView]:
    """Return these verifications in their order."""
    found = load_runs(connection, principal, stored)
    jobs = runs.get_many(connection, principal, [each.job_id for each in stored if each.job_id])
    shown = [*jobs, *(run for each in found for run in each.runs)]
    views = {view.id: view for view in read_runs(connection, shown, with_places=False)}
    judged = judge_verifications(connection, principal, found)
    return [_view(each, views, judged.get(each.stored.id)) for each in found]


def _view(
    verification: VerificationRuns, views: Mapping[str, RunView], judgement: Judgement | None
) -> VerificationView:
    stored = verification.stored
    pairs = [
        PairView(
            seed=seed,
            control=views[verification.control[seed].id] if seed in verification.control else None,
            patched=views[verification.patched[seed].id] if seed in verification.patched else None,
        )
        for seed in stored.seeds
    ]
    return VerificationView(
        id=stored.id,
        run_id=stored.run_id,
        finding=stored.finding,
        verdict=stored.found["verdict"],
        text=stored.found["text"],
        remedy="escape" if stored.found["verdict"] in ESCAPE_VERDICTS else "patch",
        patch=stored.found["patch"],
        from_step=stored.from_step,
        job=views[stored.job_id] if stored.job_id else None,
        control=pairs[0].control,
        patched=pairs[0].patched,
        pairs=pairs,
        state=_state(verification),
        outcome=judgement and judgement.outcome,
        why=judgement.why if judgement else stored.failure,
        measured=judgement and judgement.measured,
        created_at=stored.created_at,
    )


def _state(verification: VerificationRuns) -> Literal["looking", "running", "done", "failed"]:
    if verification.stored.failure is not None:
        return "failed"
    if verification.stored.patched_id is None:
        return "looking"
    return "done" if verification.finished else "running"
