"""Projects, their members and API keys. A key is `id.secret`; only the secret's SHA-256 is stored."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import ColumnElement, Connection, func, literal, or_, select
from sqlalchemy.dialects.postgresql import insert

from service.db.access import audit
from service.db.access.key_limits import NO_LIMITS
from service.db.access.principal import Principal
from service.db.session import fetch_binary
from service.db.tables import account, api_key, member, project
from service.errors import SaddleError
from service.ids import new_id
from service.spec.text import clean_name, visible_name


class Unnamed(SaddleError):
    """A project or member whose name cannot be one."""


def new_key(
    connection: Connection,
    project_name: str,
    member_name: str,
    lifetime_s: float | None = None,
    role: str | None = None,
    scope: str = "admin",
    server_admin: bool = False,
) -> str:
    """Return a new key for a member of a project; create what is missing of account, project and member.

    With `server_admin` the account becomes an admin of the server.

    The first member of a project is its admin; others begin as `role`, or as member.
    """
    project_name, member_name = _name("project", project_name), _name("member", member_name)
    made = insert(project).values(id=new_id("prj"), name=project_name)
    connection.execute(made.on_conflict_do_nothing(index_elements=["name"]))
    project_id = connection.execute(select(project.c.id).where(project.c.name == project_name)).scalar_one()
    chosen = (member.c.project_id == project_id) & (member.c.name == member_name)
    member_id = connection.execute(select(member.c.id).where(chosen)).scalar_one_or_none()
    if member_id is None:
        others = connection.execute(select(member.c.id).where(member.c.project_id == project_id).limit(1)).first()
        member_id = _join(connection, project_id, member_name, role or ("member" if others else "admin"))
    if server_admin:
        account_of = select(member.c.account_id).where(member.c.id == member_id).scalar_subquery()
        connection.execute(account.update().where(account.c.id == account_of).values(admin=True))
    return issue_key(connection, member_id, "", lifetime_s, scope)


def make_server_admin(connection: Connection, name: str) -> str:
    """Make the account of this name, new if there is none, an admin of the server; return its id."""
    row = {"id": new_id("acc"), "name": _name("account", name), "admin": True}
    made = insert(account).values(**row)
    made = made.on_conflict_do_update(index_elements=[func.lower(account.c.name)], set_={"admin": True})
    return str(connection.execute(made.returning(account.c.id)).scalar_one())


def _join(connection: Connection, project_id: str, name: str, role: str) -> str:
    """Make the account of this name a member of a project, and return the member's id."""
    new = insert(account).values(id=new_id("acc"), name=name)
    connection.execute(new.on_conflict_do_nothing(index_elements=[func.lower(account.c.name)]))
    account_id = connection.execute(select(account.c.id).where(is_named(name))).scalar_one()
    member_id = new_id("mem")
    row = {"id": member_id, "project_id": project_id, "account_id": account_id, "name": name, "role": role}
    connection.execute(insert(member).values(**row))
    return member_id


def is_named(name: str) -> ColumnElement[bool]:
    """Whether an account has this name; capitals make no other."""
    return func.lower(account.c.name) == func.lower(literal(name).collate("C"))


def issue_key(
    connection: Connection,
    member_id: str,
    name: str,
    lifetime_s: float | None,
    scope: str = "admin",
    limits: Mapping[str, float] = NO_LIMITS,
) -> str:
    """Return a new key of a member, `id.secret`. 256 random bits, shown only here."""
    key_id, secret = new_id("key"), secrets.token_urlsafe(32)
    expires_at = None if lifetime_s is None else func.clock_timestamp() + timedelta(seconds=lifetime_s)
    row = {"id": key_id, "member_id": member_id, "name": name, "scope": scope, "secret_sha256": digest(secret)}
    connection.execute(insert(api_key).values(**row, **limits, expires_at=expires_at))
    return f"{key_id}.{secret}"


def _name(what: str, text: str) -> str:
    """The name in its normal form, or `Unnamed`."""
    try:
        return visible_name(clean_name(text))
    except ValueError as error:
        raise Unnamed(f"The {what}'s name {error}.") from None


def of_member(connection: Connection, member_id: str, key_id: str | None = None) -> Principal:
    """Who a member is, for what is done later on their behalf, counted for the key that asked for it."""
    query = select(member.c.name, member.c.role, member.c.account_id, project.c.id, project.c.name.label("project"))
    row = connection.execute(
        query.join(project, project.c.id == member.c.project_id).where(member.c.id == member_id)
    ).one()
    return Principal(key_id or "", member_id, row.name, row.id, row.project, row.role, row.account_id)


@dataclass(frozen=True)
class ProjectSettings:
    """A project and what its admins decide."""

    id: str
    name: str
    members_manage: bool  # members may change and delete each other's work


def read_settings(connection: Connection, principal: Principal) -> ProjectSettings:
    """Return the settings of the principal's project."""
    query = select(project.c.id, project.c.name, project.c.members_manage)
    return ProjectSettings(*connection.execute(query.where(project.c.id == principal.project_id)).one())


def change_settings(connection: Connection, principal: Principal, members_manage: bool) -> None:
    """Change the settings of the principal's project; repeating it changes nothing."""
    chosen = (project.c.id == principal.project_id) & (project.c.members_manage != members_manage)
    if connection.execute(project.update().where(chosen).values(members_manage=members_manage)).rowcount:
        audit.record(connection, principal, "project.change", principal.project_id, members_manage=members_manage)


def revoke_key(connection: Connection, key_id: str) -> bool:
    """Revoke a key; False where there is none that is open."""
    chosen = (api_key.c.id == key_id) & api_key.c.revoked_at.is_(None)
    return connection.execute(api_key.update().where(chosen).values(revoked_at=func.clock_timestamp())).rowcount == 1


OPEN = api_key.c.revoked_at.is_(None) & or_(
    api_key.c.expires_at.is_(None), api_key.c.expires_at > func.clock_timestamp()
)
WHOSE = """
    SELECT k.secret_sha256, m.id, m.name, p.id, p.name, m.role, a.id, k.scope, a.admin, k.expires_at
    FROM api_key k JOIN member m ON m.id = k.member_id JOIN project p ON p.id = m.project_id
        JOIN account a ON a.id = m.account_id
    WHERE k.id = %(id)s AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
        AND m.removed_at IS NULL AND a.disabled_at IS NULL
"""


def find_principal(connection: Connection, key: str) -> Principal | None:
    """Return whose key this is, or None; an unknown id takes the same work as a wrong secret."""
    key_id, _, secret = key.partition(".")
    found = fetch_binary(connection, WHOSE, {"id": key_id})
    stored, *whose = found[0] if found else (bytes(32),)
    if not hmac.compare_digest(stored, digest(secret)) or not found:
        return None
    return Principal(key_id, *whose)


def digest(secret: str) -> bytes:
    """SHA-256 is right for 256 random bits; slow hashes are for passwords."""
    return hashlib.sha256(secret.encode()).digest()
