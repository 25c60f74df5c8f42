"""The account of trainers: one of its own if the worker is root, so that a trainer reads nothing of its supervisor.

It owns checkpoints and caches, and is shown the uploads of its run. Otherwise a trainer has its supervisor's account,
and the kernel keeps the processes apart (`service.os_account.hide_process`, `worker.trainer.confinement`).
"""

import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from service.os_account import TRAINERS, OsAccount
from service.settings import Settings

log = logging.getLogger(__name__)
DEVICES = ("nvidia*", "dri/*", "kfd")  # below /dev
CHECK_S = 60.0  # for an interpreter to start on a busy machine
CHECK = """
import os, sys, tempfile
import worker.trainer.__main__
tempfile.gettempdir()
sys.exit(next((path for path in sys.argv[1:] if not os.access(path, os.X_OK)), 0))
"""


class TrainerAccount:
    """What trainers run as, and the files that they are given."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.account = _find(settings.data_dir, settings.dataset_folder, settings.checkpoint_dir)

    @property
    def is_own(self) -> bool:
        """Whether it is another account than the supervisor's."""
        return self.account.user is not None

    @property
    def cache(self) -> Path:
        """The folder of compiled models, and the home of an account that has none."""
        return self._settings.data_dir / "compiled"

    def environment(self) -> dict[str, str]:
        """Return what a trainer's environment says of its account."""
        home = str(self.cache.resolve())
        return {"HOME": home, "USER": "saddle-trainer", "LOGNAME": "saddle-trainer"} if self.is_own else {}

    def popen(self) -> dict[str, Any]:
        """Return the arguments of `subprocess.Popen`."""
        account = self.account
        given = {"user": account.user, "group": account.group, "extra_groups": account.extra_groups}
        return {**given, "umask": 0o077} if self.is_own else {}

    def give_checkpoint(self, folder: Path) -> None:
        """Make the account the owner of a checkpoint's folder and of its parents: its attempt's and its run's."""
        if self.is_own:
            for path in (*folder.rglob("*"), folder, folder.parent, folder.parent.parent):
                if path.exists():
                    self.account.own(path)

    def show_upload(self, top: Path, sha256: str) -> None:
        """Let the account read an uploaded file in the folder of uploads, and put unpacked rows beside it."""
        if not self.is_own:
            return
        for rows in (top / sha256).glob("rows-*"):
            self.account.own_tree(rows)
        # sticky: who may put files there may not replace those of others
        for path, mode in ((top, 0o710), (top / sha256, 0o1770), (top / sha256 / "content", 0o640)):
            if path.exists():
                os.chown(path, -1, self.account.group or -1)
                path.chmod(mode)


@lru_cache(maxsize=8)
def trainer_account(settings: Settings) -> TrainerAccount:
    """Return the account of the trainers of a slot."""
    return TrainerAccount(settings)


@lru_cache(maxsize=8)
def _find(data_dir: Path, dataset_folder: Path | None, checkpoint_dir: Path) -> OsAccount:
    """Return an account of their own, if this worker is root and the account can train, else the supervisor's."""
    if os.geteuid() != 0:
        return OsAccount()
    own = OsAccount.unused_from(TRAINERS)
    own = OsAccount(own.user, own.group, _device_groups())
    data_dir.mkdir(parents=True, exist_ok=True)
    folders = [data_dir.resolve(), *([dataset_folder.resolve()] if dataset_folder else [])]
    if (problem := _problem(own, folders)) is None:
        try:
            for folder in (checkpoint_dir, data_dir / "checkpoint-cache", data_dir / "compiled"):
                folder.mkdir(parents=True, exist_ok=True)
                own.own_tree(folder)
            return own
        except OSError as error:  # such as a network's file system, on which root owns nothing
            problem = f"cannot be given {error.filename} ({error.strerror})"
    log.warning("trainers run as root, and can read what the worker can: uid %s %s", own.user, problem)
    return OsAccount()


def _problem(account: OsAccount, folders: Sequence[Path]) -> str | None:
    """Return why the account cannot train."""
    command = [sys.executable, "-c", CHECK, *map(str, folders)]
    try:
        done = subprocess.run(
            command,
            user=account.user,
            group=account.group,
            extra_groups=account.extra_groups,
            capture_output=True,
            text=True,
            timeout=CHECK_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"cannot run {sys.executable} ({getattr(error, 'strerror', None) or error})"
    return None if done.returncode == 0 else f"cannot reach what it needs ({done.stderr.strip().splitlines()[-1]})"


def _device_groups() -> tuple[int, ...]:
    """Return the groups whose members may use GPUs, where not everybody may."""
    nodes = [node.stat() for pattern in DEVICES for node in Path("/dev").glob(pattern)]
    return tuple({node.st_gid for node in nodes if node.st_gid and node.st_mode & 0o066 == 0o060})
