"""The account embedded servers run as: oneself, or `nobody` when started by root, whom Postgres refuses."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Account:
    """User, group and further groups as `subprocess.Popen` takes them; None stays who we are."""

    user: int | None = None
    group: int | None = None
    extra_groups: tuple[int, ...] | None = None

    @classmethod
    def for_servers(cls) -> "Account":
        """Root becomes `nobody` (65534 where the system has no such name); no system user is created."""
        if os.geteuid() != 0:
            return cls()
        try:
            entry = pwd.getpwnam("nobody")
        except KeyError:
            return cls(65534, 65534, ())
        return cls(entry.pw_uid, entry.pw_gid, ())

    @property
    def uid(self) -> int:
        """The user id that files of the servers carry."""
        return os.geteuid() if self.user is None else self.user

    def take(self, path: Path) -> None:
        """Make the account the owner of `path`; its parents stay untouched."""
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group)

    def can(self, access: str, path: Path) -> bool:
        """Whether the account has `access` (`-x`, `-r`, `-w`) to a path: every folder above it counts."""
        test = subprocess.run(
            ["test", access, str(path)],
            cwd="/",
            check=False,
            user=self.user,
            group=self.group,
            extra_groups=self.extra_groups,
        )
        return test.returncode == 0
