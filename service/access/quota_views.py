"""Quotas as they are sent."""

from service.db.access import quotas
from service.db.access.members import as_member
from service.db.access.principal import Principal
from service.db.access.quotas import QUOTAS, Standing, Subject
from service.db.session import Connection
from service.errors import Forbidden
from service.levels import Level
from service.schemas.people.quotas import QuotasView, QuotaView


def quotas_view(connection: Connection, principal: Principal, member: str | None, project_bytes: int) -> QuotasView:
    """Return the quotas of the project and of one member; only admins see another's."""
    if member is not None and member != principal.member and principal.level < Level.ADMIN:
        raise Forbidden("Only admins of the project see the quotas of others.")
    whose = as_member(connection, principal, member)
    found = quotas.full_standing(connection, whose, project_bytes)
    return QuotasView(
        project=principal.project, quotas=_views(found, "project"), member=whose.member, own=_views(found, "person")
    )


def _views(found: Standing, subject: Subject) -> list[QuotaView]:
    return [
        QuotaView(
            name=name,
            what=kind.what,
            unit=kind.unit,
            limit=found.limits[subject, name],
            used=None if name == "run_hours" else found.used.get((subject, name), 0.0),
        )
        for name, kind in QUOTAS.items()
    ]
