"""A disk of a few megabytes that can be filled: a tmpfs, where this account may mount one."""

import os
import subprocess
from pathlib import Path


class Disk:
    """A folder with a limit of its own; without the right to mount, a plain folder that is never full."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder, self._ballast = folder, folder / "ballast"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0755", "tmpfs", str(folder)]
        try:
            self.limited = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        except FileNotFoundError:
            self.limited = False

    def fill(self) -> None:
        """Leave no block free."""
        free = os.statvfs(self.folder)
        with self._ballast.open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, file.tell() + free.f_bavail * free.f_bsize)

    def free(self) -> None:
        """Take the ballast away."""
        self._ballast.unlink(missing_ok=True)

    def gone(self) -> None:
        """Give the mount back."""
        if self.limited:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)
