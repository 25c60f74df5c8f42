"""Turn what happened in a project into notices: ended runs, faults that the diagnosis finds, queues, quotas."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from service.db.access.projects import of_member
from service.db.messages import news, outbox
from service.db.messages.news import Place, RunEvent, WaitingRun
from service.db.messages.notices import Notice
from service.db.messages.quotas import near_quotas
from service.db.runs import stream_queries
from service.db.runs.pools import pools
from service.db.session import Connection, Engine, transaction
from service.diagnosis.diagnose_run import diagnosis_of
from service.errors import NotFound, SaddleError
from service.settings import Settings

BATCH_EVENTS = 200  # read in one transaction
DIAGNOSED_EVENTS = 20  # of a project in one look: a diagnosis takes some 20 ms of the process that serves requests
OLD = timedelta(days=7)  # no news any more, as after a restore
MOVE_AFTER = 1000  # transactions without news, until the place moves on all the same
NO_WORKER_S = 120.0  # a run waits for a worker that does not exist until it is told
log = logging.getLogger(__name__)


def read_news(engine: Engine, settings: Settings, conditions: bool) -> int:
    """Fill the outbox with what happened in every project since the last time; return how many events were told.

    Each project is a transaction, and read by one process at a time. `conditions`: look at queues and quotas too.
    """
    done: list[str] = []
    told = 0
    while True:
        try:
            with transaction(engine) as connection:
                place = news.take_project(connection, done)
                if place is None:
                    return told
                read, complete = _read_project(connection, place, settings, conditions)
        except SaddleError:
            raise  # the database: another time
        except Exception:  # what one project's runs hold must not silence the others
            assert place is not None
            log.exception("what happened in project %s could not be told", place.project_id)
            read, complete = 0, True
        told += read
        if complete:
            done.append(place.project_id)


def _read_project(connection: Connection, place: Place, settings: Settings, conditions: bool) -> tuple[int, bool]:
    """Tell a batch of a project's events; return how many there were, and whether this look has done enough."""
    horizon = stream_queries.horizon(connection)
    if place.xid > horizon:  # it is of another server: the database was restored
        place = Place(place.project_id, horizon, 0)
        news.move(connection, place)
    known = outbox.subscriptions(connection, [place.project_id])
    diagnosed = any("finding_fault" in channel.events for channel in known)
    most = DIAGNOSED_EVENTS if diagnosed else BATCH_EVENTS
    found = news.events(connection, place, horizon, most) if known else []
    notices = _of_events(connection, place.project_id, found, diagnosed) if found else []
    if conditions and known:
        notices += _stuck(connection, place.project_id, settings) + _near(connection, place.project_id)
    outbox.add(connection, notices, known)
    if len(found) == most:
        news.move(connection, Place(place.project_id, found[-1].xid, found[-1].id))
        return len(found), diagnosed  # the rest in the next look
    if found or horizon - place.xid > MOVE_AFTER:
        news.move(connection, Place(place.project_id, horizon, 0))
    return len(found), True


def _of_events(connection: Connection, project_id: str, found: Sequence[RunEvent], diagnosed: bool) -> list[Notice]:
    """Return the notices of events; with `diagnosed` also the faults of their runs."""
    oldest = news.now(connection) - OLD
    recent = [event for event in found if event.at > oldest]
    last = {event.run_id: event.id for event in recent}  # a run is diagnosed once in a batch
    notices = []
    for event in recent:
        if event.kind == "state":
            notices.append(_ended(project_id, event))
        if diagnosed and last[event.run_id] == event.id:
            notices += _faults(connection, project_id, event)
    return notices


def _ended(project_id: str, event: RunEvent) -> Notice:
    failure = event.data.get("failure") or event.failure or {}
    if event.data["state"] == "succeeded":
        kind, more = "run_succeeded", {}
    else:
        kind = "run_diverged" if failure.get("code") == "diverged" else "run_failed"
        more = {"failure": {"code": failure.get("code"), "detail": failure.get("detail")}}
    return Notice(kind, project_id, event.experiment_id, event.at, _run(event) | more, owner_id=event.owner_id)


def _run(event: RunEvent) -> dict[str, Any]:
    return {
        "experiment": {"id": event.experiment_id, "name": event.experiment},
        "run": {"id": event.run_id, "seed": event.seed},
        "owner": event.owner,
    }


def _faults(connection: Connection, project_id: str, event: RunEvent) -> list[Notice]:
    """Return the faults of a run that were not told yet."""
    try:
        with connection.begin_nested():
            _, diagnosis = diagnosis_of(connection, of_member(connection, event.owner_id), event.run_id)
    except NotFound:  # it was deleted
        return []
    except Exception:  # a rule that fails on this run must not hold back the news
        log.exception("run %s cannot be diagnosed", event.run_id)
        return []
    faults = {each.rule.id: each for each in diagnosis.findings if each.finding.level == "fault"}
    subjects = {f"{event.run_id} {name}": name for name in faults}
    new = news.begun(connection, "finding_fault", project_id, list(subjects))
    return [
        Notice(
            "finding_fault",
            project_id,
            event.experiment_id,
            event.at,
            _run(event) | {"finding": {"id": name, "verdict": found.verdict, "text": found.text}},
            owner_id=event.owner_id,
        )
        for subject, name in subjects.items()
        if subject in new and (found := faults[name].finding)
    ]


def _stuck(connection: Connection, project_id: str, settings: Settings) -> list[Notice]:
    """Return experiments whose runs wait too long, or for a worker that does not exist."""
    waiting = news.waiting(connection, project_id, min(NO_WORKER_S, settings.queue_stuck_s))
    there = pools(connection, sorted({each.pool for each in waiting})) if waiting else {}
    stuck: dict[str, tuple[WaitingRun, str]] = {}
    for each in waiting:
        why = there[each.pool].why_not_served() or there[each.pool].why_not_built(each.needs)
        if why or each.waits_s >= settings.queue_stuck_s:
            stuck[each.experiment_id] = each, why or "other runs are before it"
    new, now = news.hold_only(connection, "queue_stuck", project_id, list(stuck)), news.now(connection)
    return [
        Notice(
            "queue_stuck",
            project_id,
            each.experiment_id,
            now,
            {
                "experiment": {"id": each.experiment_id, "name": each.experiment},
                "run": {"id": each.run_id},
                "owner": each.owner,
                "waits_s": round(each.waits_s),
                "runs": each.runs,
                "why": why,
            },
            owner_id=each.owner_id,
        )
        for each, why in stuck.values()
        if each.experiment_id in new
    ]


def _near(connection: Connection, project_id: str) -> list[Notice]:
    """Return quotas of which little is left."""
    near = {f"{each.member_id or project_id} {each.name}": each for each in near_quotas(connection, project_id)}
    new, now = news.hold_only(connection, "quota_near", project_id, list(near)), news.now(connection)
    return [
        Notice(
            "quota_near",
            project_id,
            f"quota {subject}",
            now,
            {
                "quota": {"name": each.name, "what": each.what, "unit": each.unit},
                "of": each.member,
                "limit": each.limit,
                "used": round(each.used, 3),
            },
            owner_id=each.member_id,
        )
        for subject, each in near.items()
        if subject in new
    ]
