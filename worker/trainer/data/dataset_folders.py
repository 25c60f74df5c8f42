"""Where uploaded and mounted files lie on this machine, and how much of one may be held in memory."""

from dataclasses import dataclass
from pathlib import Path

RESIDENT_BYTES = 2 * 2**30


@dataclass(frozen=True)
class DatasetFolders:
    """The folder of uploads, one folder a hash; without one no uploaded dataset can be read."""

    folder: Path | None = None
    resident_bytes: int = RESIDENT_BYTES  # rows that take more than this stay on disk and are read batch by batch
    mounted: Path | None = None  # the operator's folder of standard sets and of Hugging Face's


NO_FOLDERS = DatasetFolders()
