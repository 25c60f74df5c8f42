"""Levels of rights: what a role gives in a project, what a key's scope leaves of it, what a route needs.

There is one order, `read < submit < admin < server`; a request acts with the smaller of its role's and its key's level.
"""

from enum import IntEnum
from typing import Literal

Role = Literal["viewer", "member", "admin"]
Scope = Literal["read", "submit", "admin"]


class Level(IntEnum):
    """What somebody may do; each level includes those before it."""

    READ = 1  # see everything of the project
    SUBMIT = 2  # add to it, and change what is one's own
    ADMIN = 3  # change what others own; members, keys, quotas, the project's audit
    SERVER = 4  # every project, workers, accounts

    @property
    def word(self) -> str:
        """Return the level's name as requests and answers have it."""
        return self.name.lower()


ROLE_LEVELS: dict[str, Level] = {"viewer": Level.READ, "member": Level.SUBMIT, "admin": Level.ADMIN}
SCOPE_LEVELS: dict[str, Level] = {"read": Level.READ, "submit": Level.SUBMIT, "admin": Level.SERVER}


def effective_level(role: str, scope: str, server_admin: bool) -> Level:
    """Return the level of a request: its role's, or a server admin's, as far as the key's scope reaches."""
    return min(Level.SERVER if server_admin else ROLE_LEVELS[role], SCOPE_LEVELS[scope])
