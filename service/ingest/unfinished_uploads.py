"""The uploads that are arriving or being read: how many one person and one project may have, and of how many bytes.

They are counted in the folder, as <project>.<member>.<random>, so the limits hold over all API processes that share it,
but for uploads that two processes begin in the same millisecond.
"""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from service.errors import TooManyUploads
from service.ingest.upload_files import INCOMING, IncomingUpload

ABANDONED_S = 1800.0  # without a write: its API died, as reading a file takes less
PEOPLE = 2  # a project may have as many unfinished uploads as two people


@dataclass(frozen=True)
class Unfinished:
    """Unfinished uploads of one person or project."""

    files: int = 0
    size_bytes: int = 0

    def __add__(self, size: int) -> "Unfinished":
        return Unfinished(self.files + 1, self.size_bytes + size)


class UnfinishedUploads:
    """Admits uploads of a person as long as fewer than `most_files` are unfinished, of `most_bytes` together."""

    def __init__(self, folder: Path, most_files: int, most_bytes: int) -> None:
        self._folder, self._most_files, self._most_bytes = folder, most_files, most_bytes
        self._lock = threading.Lock()

    def begin(self, project_id: str, member_id: str, declared_bytes: int) -> IncomingUpload:
        """Return a new upload, whose declared size counts from now on; raise `TooManyUploads`."""
        owner = f"{project_id}.{member_id}."
        with self._lock:
            project, person = self._count(project_id, member_id, None)
            if person.files >= self._most_files:
                raise TooManyUploads(f"You have {person.files} unfinished uploads, {_wait(self._most_files)}")
            if project.files >= PEOPLE * self._most_files:
                most = PEOPLE * self._most_files
                raise TooManyUploads(f"The project has {project.files} unfinished uploads, {_wait(most)}")
            self._check_bytes(person, declared_bytes)
            return IncomingUpload(self._folder, owner, declared_bytes)

    def check(self, incoming: IncomingUpload, project_id: str, member_id: str) -> tuple[Unfinished, Unfinished]:
        """Return the other uploads of the project and of the person; raise `TooManyUploads` for too many bytes."""
        project, person = self._count(project_id, member_id, incoming.path.name)
        self._check_bytes(person, incoming.size_bytes)
        return project, person

    def _check_bytes(self, person: Unfinished, more: int) -> None:
        if person.size_bytes + more > self._most_bytes:
            detail = f"Your unfinished uploads would take {person.size_bytes + more} bytes, {_wait(self._most_bytes)}"
            raise TooManyUploads(detail)

    def _count(self, project_id: str, member_id: str, but: str | None) -> tuple[Unfinished, Unfinished]:
        project = person = Unfinished()
        since = time.time() - ABANDONED_S
        try:
            entries = [each for each in os.scandir(self._folder / INCOMING) if each.name.startswith(f"{project_id}.")]
        except FileNotFoundError:
            return project, person
        for entry in entries:
            try:
                found = entry.stat()
            except FileNotFoundError:
                continue
            if entry.name != but and found.st_mtime > since:
                project += found.st_size
                if entry.name.startswith(f"{project_id}.{member_id}."):
                    person += found.st_size
        return project, person


def _wait(most: int) -> str:
    return f"and at most {most} are allowed at once: wait until one has ended."
