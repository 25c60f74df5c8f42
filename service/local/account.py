"""The account that embedded servers run as: the current user, or `nobody` for root, which Postgres refuses."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Account:
    """User, group and extra groups as `subprocess.Popen` takes them; None keeps those of this process."""

    user: int | None = None
    group: int | None = None
    extra_groups: tuple[int, ...] | None = None

    @classmethod
    def for_servers(cls) -> "Account":
        """Return `nobody` for root (65534 if the system has no such name), else the current user."""
        if os.geteuid() != 0:
            return cls()
        try:
            entry = pwd.getpwnam("nobody")
        except KeyError:
            return cls(65534, 65534, ())
        return cls(entry.pw_uid, entry.pw_gid, ())

    @property
    def uid(self) -> int:
        """The user id that owns the servers' files."""
        return os.geteuid() if self.user is None else self.user

    def own(self, path: Path) -> None:
        """Make the account the owner of `path`, but not of its parents."""
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group)

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
