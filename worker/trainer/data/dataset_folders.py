"""The folders of uploaded and mounted datasets on this machine, and how much of one may be held in memory."""

from dataclasses import dataclass
from pathlib import Path

RESIDENT_BYTES = 2 * 2**30


@dataclass(frozen=True)
class DatasetFolders:
    """The folders; without one of uploads, uploaded datasets cannot be read."""

    folder: Path | None = None  # of uploads, one folder per hash
    resident_bytes: int = RESIDENT_BYTES  # larger datasets stay on disk and are read batch by batch
    mounted: Path | None = None  # the operator's folder of standard datasets and Hugging Face datasets


NO_FOLDERS = DatasetFolders()
