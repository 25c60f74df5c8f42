"""A disk of a few megabytes that can be filled: a tmpfs, where this account may mount one."""

import contextlib
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
        with self._ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(bytes(size))

    def free(self) -> None:
        """Take the ballast away."""
        self._ballast.unlink(missing_ok=True)

    def gone(self) -> None:
        """Give the mount back."""
        if self.limited:
            subprocess.run(["umount", "-l", str(self.folder)], check=False)
