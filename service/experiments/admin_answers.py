"""What server admins see, as it is sent."""

from service.db.access.quotas import QUOTAS
from service.db.admin import projects
from service.db.admin.projects import ProjectUse
from service.db.runs import positions, reaper, turns
from service.db.session import Connection
from service.schemas.admin import (
    ProjectMember,
    ProjectStorageView,
    ProjectsUseView,
    ProjectUseView,
    ServerStorageView,
    WaitingRunView,
    WholeQueueView,
)
from service.schemas.people.quotas import QuotaView


def read_projects(connection: Connection, after: str, limit: int) -> ProjectsUseView:
    """Return projects by name, from the first whose name comes after `after`."""
    found = projects.projects(connection, after, limit + 1)
    last = found[limit - 1].name if len(found) > limit else None
    return ProjectsUseView(items=[_project(each) for each in found[:limit]], next_after=last)


def _project(found: ProjectUse) -> ProjectUseView:
    members = [ProjectMember(**each) for each in found.members]
    quotas = [
        QuotaView(name=name, what=kind.what, unit=kind.unit, limit=found.limits[name], used=found.used.get(name))
        for name, kind in QUOTAS.items()
    ]
    return ProjectUseView.of(found, members=members, quotas=quotas)


def read_whole_queue(connection: Connection, limit: int) -> WholeQueueView:
    """Return the first waiting runs of all projects, and why each waits."""
    waiting = positions.next_runs(connection, turns.known_pools(connection), None, limit)
    why = positions.positions(connection, [each.run_id for each in waiting])
    items = [
        WaitingRunView.of(each, member=each.owner, reason=why[each.run_id].reason if each.run_id in why else "")
        for each in waiting
    ]
    return WholeQueueView(items=items, waiting=sum(reaper.count_waiting(connection).values()))


def read_storage(connection: Connection, limit: int) -> ServerStorageView:
    """Return what each project stores."""
    size, found = projects.storage(connection, limit)
    return ServerStorageView(database_bytes=size, items=[ProjectStorageView.of(each) for each in found])
