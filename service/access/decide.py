"""The decision: may this principal do this, given whose object it is?"""

from collections.abc import Callable

from service.access.rules import Rule
from service.db.access.owners import Owner
from service.db.access.principal import Principal
from service.errors import Forbidden
from service.levels import ROLE_LEVELS, Level


def check(principal: Principal, rule: Rule, owner: Callable[[], Owner | None] = lambda: None) -> None:
    """Raise `Forbidden` unless the principal may; `owner` is asked only where the answer depends on it.

    An object that the project does not have is nobody's: the route answers that it is not there.
    """
    if rule.level is None:
        return
    if rule.about == "person" and principal.key_id:
        raise Forbidden("A key cannot do this: sign in on the page, with a password or through your provider.")
    if rule.changes and principal.scope == "read":
        raise Forbidden("The scope of this key is read: it changes nothing. Make a key with a wider scope.")
    if rule.about == "project" and rule.level < Level.SERVER and not principal.project_id:
        raise Forbidden("You are in no project: ask an admin of one for an invitation.")
    if principal.level >= rule.level:
        return
    if rule.own is None or principal.level < rule.own_level:
        raise Forbidden(_refusal(principal, rule.own_level if rule.own else rule.level))
    found = owner()
    if found is not None and found.member_id != principal.member_id and not found.shared:
        raise Forbidden(
            f"This {rule.own} belongs to {found.member}: they may do this, and admins of the project."
            " An admin can also let members manage each other's work."
        )


def _refusal(principal: Principal, needed: Level) -> str:
    """Say what is needed, and which of the role and the key's scope falls short."""
    what = f"This needs the level {needed.word}"
    if needed is Level.SERVER and not principal.server_admin:
        return f"{what}: only server admins may do it."
    if needed is not Level.SERVER and ROLE_LEVELS[principal.role] < needed and not principal.server_admin:
        return f"{what}: you are {principal.role} in the project {principal.project}. Ask one of its admins for more."
    return f"{what}: the scope of this key is {principal.scope}. Make a key with a wider scope."
