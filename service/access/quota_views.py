"""Quotas as they are sent."""

from service.db.access import key_limits, quotas
from service.db.access.key_limits import LIMITS
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
        project=principal.project,
        quotas=_views(found, "project"),
        member=whose.member,
        own=_views(found, "person"),
        key=_key_views(connection, principal),
    )


def _key_views(connection: Connection, principal: Principal) -> list[QuotaView]:
    """Return the limits of the key that asks."""
    limits = quotas.standing(connection, principal).key
    if limits is None or not limits.given:
        return []
    used = key_limits.used(connection, limits)
    given = ((name, *LIMITS[name], value) for name, value in limits.given.items())
    return [
        QuotaView(name=name, what=what, unit=unit, limit=value, used=used[name]) for name, what, unit, value in given
    ]


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
