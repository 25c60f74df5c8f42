"""Accounts of the operating system: those that root runs servers and trainers as, and what processes hide.

They are not `nobody`: every other daemon of that name could read their data, memory and sockets.
"""

import ctypes
import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SERVERS, TRAINERS = 61000, 61100  # the first ids to try: Debian and systemd leave 60706 to 61183 unused
PR_SET_DUMPABLE = 4


@dataclass(frozen=True)
class OsAccount:
    """User, group and extra groups as `subprocess.Popen` takes them; None keeps those of this process."""

    user: int | None = None
    group: int | None = None
    extra_groups: tuple[int, ...] | None = None

    @classmethod
    def for_servers(cls) -> "OsAccount":
        """Return the account of embedded servers: for root one of their own (Postgres refuses root), else the user."""
        return cls() if os.geteuid() != 0 else cls.unused_from(SERVERS)

    @classmethod
    def unused_from(cls, first: int) -> "OsAccount":
        """Return the first id that no user of the system has."""
        return cls.with_id(next(filter(is_unused, range(first, first + 80))))

    @classmethod
    def nobody(cls) -> "OsAccount":
        """Return the account with a name that `initdb` asks for, if this is root, else the current user."""
        if os.geteuid() != 0:
            return cls()
        try:
            entry = pwd.getpwnam("nobody")
        except KeyError:
            return cls.with_id(65534)
        return cls(entry.pw_uid, entry.pw_gid, ())

    @classmethod
    def with_id(cls, number: int) -> "OsAccount":
        """Return an account whose user and group have this id, and no other group."""
        return cls(number, number, ())

    @property
    def uid(self) -> int:
        """The user id that owns the servers' files."""
        return os.geteuid() if self.user is None else self.user

    def own(self, path: Path) -> None:
        """Make the account the owner of `path`, but not of its parents."""
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group, follow_symlinks=False)

    def own_tree(self, folder: Path) -> None:
        """Make the account the owner of a folder and everything in it, unless the folder is its own already."""
        if self.user is None or folder.stat().st_uid == self.user:
            return
        for path in (*folder.rglob("*"), folder):  # the folder last: an interrupted change is repeated
            self.own(path)

    def has_access(self, access: str, path: Path) -> bool:
        """Whether the account has `access` (`-x`, `-r`, `-w`) to a path, given the folders above it."""
        test = subprocess.run(
            ["test", access, str(path)],
            cwd="/",
            check=False,
            user=self.user,
            group=self.group,
            extra_groups=self.extra_groups,
        )
        return test.returncode == 0


def is_unused(number: int) -> bool:
    """Whether no user of the system has this id."""
    try:
        pwd.getpwuid(number)
    except KeyError:
        return True
    return False


def hide_process() -> None:
    """Have Linux refuse this process's environment, memory and open files to others of the same account.

    A program that this process executes is not hidden. Root is refused nothing.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
